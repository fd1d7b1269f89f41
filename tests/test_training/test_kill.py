"""A run killed again and again ends as one that was left in peace."""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path

import pytest
import torch
from killing import STATE, assert_same, last, names
from small_run import live, runner


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    """Work directory of a finished run, and the moments at which it could have died."""
    work_dir = tmp_path_factory.mktemp('undisturbed')
    reader, writer = os.pipe()
    assert live(work_dir, journal=writer)
    os.close(writer)
    with os.fdopen(reader) as journal:
        moments = journal.read().splitlines()
    assert {'best_two_epoch_2.pth', 'epoch_3.pth'} < {*names(work_dir)}
    rates = last(work_dir)['param_schedulers'][0]['_last_value']
    assert rates == [pytest.approx(0.001)]  # the scheduler followed the validation
    return work_dir, moments


def assert_whole(work_dir):
    """Whatever bears a checkpoint's name can be read, and the last one is there."""
    for path in Path(work_dir).glob('*.pth'):
        torch.load(path)
    pointer = Path(work_dir, 'last_checkpoint')
    if pointer.exists():
        assert Path(pointer.read_text()).is_file()
    assert len(list(Path(work_dir).glob('epoch_*.pth'))) <= 2  # max_keep_ckpts + 1


def assert_same_end(work_dir, undisturbed):
    assert names(work_dir) == names(undisturbed)
    for path in sorted(Path(undisturbed).glob('*.pth')):
        name = path.name
        one, other = torch.load(path), torch.load(Path(work_dir, name))
        for key in STATE:
            assert (key in one) == (key in other)
            if key in one:
                assert_same(one[key], other[key], f'{name}[{key!r}]')


def kill_until_done(work_dir, rng, kills, furthest, train):
    """Kill a run ``kills`` times at random moments, resuming it each time.

    Returns:
        How many of the kills struck while it ran.
    """
    struck = 0
    for _ in range(kills):
        if live(work_dir, die_at=rng.randint(1, furthest), train=train):
            break
        struck += 1
        assert_whole(work_dir)
    assert live(work_dir, train=train)
    return struck


def train_with(work_dir, **options):
    runner(work_dir, resume=True, **options).train()


def test_moments_lie_everywhere(undisturbed):
    """What the kill tests rest on: the run can die at every step of a change."""
    _, moments = undisturbed
    text = '\n'.join(moments)
    assert len(moments) > 80
    for event, file in [
        ('open', '.epoch_2.pth'),
        ('run.half', '.epoch_2.pth'),
        ('run.half', '.best_one_epoch_2.pth'),
        ('run.half', '.last_checkpoint'),
        ('os.rename', '.epoch_2.pth'),
        ('os.rename', '.last_checkpoint'),
        ('os.remove', 'epoch_1.pth'),
        ('os.remove', 'best_one_epoch_1.pth'),
        ('run.step', '4'),
    ]:
        assert any(m.startswith(event) and file in m for m in moments), (event, file)
    # The new file is whole and named before the old one goes.
    new = text.index('.epoch_2.pth', text.index('os.rename', text.index('.epoch_2')))
    assert new < text.index('os.rename', new) < text.index('/epoch_1.pth')


@pytest.mark.parametrize('workers', [0, 2])
def test_killed_at_random_moments(undisturbed, tmp_path, workers):
    """The number of workers makes no difference either."""
    reference, moments = undisturbed
    rng, train = random.Random(workers), partial(train_with, workers=workers)
    kills = 8 if workers == 0 else 3
    struck = kill_until_done(tmp_path, rng, kills, len(moments) // 3, train)
    assert struck >= 3
    assert_same_end(tmp_path, reference)


@pytest.mark.slow
def test_killed_at_every_moment_of_an_epoch(undisturbed, tmp_path):
    """The second: it has checkpoints and best files to replace."""
    reference, moments = undisturbed
    first, end = (moments.index(f'run.step {step}') for step in (3, 6))
    assert end - first >= 25
    for moment in range(first + 1, end + 1):  # moments count from 1
        work_dir = tmp_path / str(moment)
        work_dir.mkdir()
        assert not live(work_dir, die_at=moment)
        assert_whole(work_dir)
        assert live(work_dir)
        assert_same_end(work_dir, reference)


def test_mmengine_alone_ends_elsewhere(tmp_path):
    """The comparison can fail: without the hook the same kill changes the weights."""
    ends = []
    for kill in (False, True):
        work_dir = tmp_path / str(kill)
        work_dir.mkdir()
        train = partial(train_with, custom_hooks=[], param_scheduler=None)
        if kill:
            one_epoch = dict(by_epoch=True, max_epochs=1, val_interval=1)
            assert live(work_dir, train=partial(train, train_cfg=one_epoch))
        assert live(work_dir, train=train)
        ends.append(last(work_dir)['state_dict'])
    with pytest.raises(AssertionError, match='net'):
        assert_same(*ends)
