"""Two and three processes train, validate and search as one, and end as one."""

from __future__ import annotations

import signal
from functools import partial

import pytest

from reliability.frame import cases
from reliability.ranks import files_of, ranks, recorded, run

pytestmark = pytest.mark.slow
SECTION = (5, 'Several processes')
SECONDS = 120
"""In which all must be over; alone a run takes a tenth of that."""
KINDS = ('training', 'search')
COUNTS = (2, 3)
AGREE = [(kind, count) for kind in KINDS for count in COUNTS]
DEATHS = [
    (kind, count, rank, where)
    for kind in KINDS
    for count in COUNTS
    for rank in range(count)
    for where in ('training', 'validation')
]


def all_well(ended):
    assert [rank.code for rank in ended] == [0] * len(ended), ended[0].told


@cases({f'{kind}-{count}': (kind, count) for kind, count in AGREE}, share=1)
def test_ranks_agree_at_every_step(case, tmp_path):
    """Bitwise equal parameters and the same architecture; no file has two writers."""
    kind, count = case
    all_well(ranks(count, partial(run, tmp_path, kind, count), tmp_path, SECONDS))
    first, *others = recorded(tmp_path, count)
    assert len(first['steps']) >= 4
    assert len({step['digest'] for step in first['steps']}) == len(first['steps'])
    if kind == 'search':
        archs = {str(step['arch']) for step in first['steps']}
        assert len(archs) > 1  # it shrank
    for other in others:
        for one, its in zip(first['steps'], other['steps'], strict=True):
            assert one['digest'] == its['digest']
            assert one['arch'] == its['arch']
        assert first['scores'] == other['scores']
    written = files_of(tmp_path, count, tmp_path / 'work')
    assert any(name.endswith('.pth') for name in written[0])
    for place, names in enumerate(written):
        for later in written[place + 1 :]:
            assert not names & later


@cases({f'{kind}-{count}': (kind, count) for kind, count in AGREE})
def test_equal_one_process_with_the_whole_batch(case, tmp_path):
    """With frozen norms and nothing random: rank-averaged losses, and validation."""
    kind, count = case
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    for folder, number in ((whole, 1), (parts, count)):
        folder.mkdir()
        work = partial(run, folder, kind, number, frozen=True)
        all_well(ranks(number, work, folder, SECONDS))
    (single,) = recorded(whole, 1)
    several = recorded(parts, count)
    assert len(single['steps']) >= 6
    for number, step in enumerate(single['steps']):
        its = [rank['steps'][number] for rank in several]
        mean = sum(one['loss'] for one in its) / count
        assert mean == pytest.approx(step['loss'], rel=1e-5), number
        assert all(one['arch'] == step['arch'] for one in its)
    assert len(single['scores']) >= 2
    assert several[0]['scores'] == pytest.approx(single['scores'], rel=1e-4)


@cases({f'{k}-{n}-{r}-{w}': (k, n, r, w) for k, n, r, w in DEATHS})
def test_killed_rank_ends_the_job(case, tmp_path):
    """With a message, in bounded time, instead of a wait for ever."""
    kind, count, rank, where = case
    step = 2 if where == 'training' else 0
    work = partial(run, tmp_path, kind, count, die=(rank, where, step))
    ended = ranks(count, work, tmp_path, SECONDS)
    assert ended[rank].code == -signal.SIGKILL
    for number, other in enumerate(ended):
        if number != rank:
            assert other.code == 1, (number, other)  # by itself: none was killed
            assert other.seconds < ended[rank].seconds + 60
            assert 'Error' in other.told.splitlines()[-1] or 'closed' in other.told
