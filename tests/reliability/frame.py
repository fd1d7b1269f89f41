"""Frame of the reliability campaign: which cases run, and the table of what survived.

A file of the campaign names its section once::

    SECTION = (2, 'Bad data')

and gives its cases in one of two ways. A case per test::

    @cases({'zero bytes': b'', 'text': b'hello'})
    def test_image(case, tmp_path): ...

of which a tenth runs, always the same one, and all with ``--full``. Or, where a case is
too small for a test of its own, a loop over what the fixture ``campaign`` chooses::

    def test_many(campaign):
        for mutation in campaign.choose(MUTATIONS):
            ...
            campaign.survived()

Tests without either always run and are not counted. ``--full --campaign-table FILE``
writes the table of cases there are, tried and survived per section between the lines
``<!-- begin campaign -->`` and ``<!-- end campaign -->`` of FILE; rows of sections that
did not run stay.

This is a plugin and no ``conftest.py``: with xdist the process that prints the table
collects nothing, so only what ``tests/conftest.py`` names is there.
"""

from __future__ import annotations

import math
import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mmpose_lite.io.markdown import fill_marked, marked

T = TypeVar('T')
SHARE = 10
"""One case in so many runs by default."""
_FACTS: list[dict[str, Any]] = []
_HEAD = '| § | section | cases | tried | survived |\n|---|---|---|---|---|\n'


def cases(table: Mapping[str, Any] | Sequence[Any], *, share: int = SHARE):
    """Decorator: one test per case, given as argument ``case``.

    Args:
        table: Name to case, or cases that pytest can name.
        share: One case in so many runs by default.
    """
    names = [str(name) for name in table] if isinstance(table, Mapping) else None
    values = list(table.values()) if isinstance(table, Mapping) else table

    def decorate(function):
        marked = pytest.mark.campaign(share)(function)
        return pytest.mark.parametrize('case', values, ids=names)(marked)

    return decorate


def chosen(items: Sequence[T], key: str, share: int = SHARE) -> list[T]:
    """One item in ``share``, at least one, in their order; the same ones every day."""
    count = math.ceil(len(items) / share)
    places = random.Random(key).sample(range(len(items)), count)
    return [items[place] for place in sorted(places)]


class Campaign:
    """Chooses and counts the cases of a test that loops over them."""

    def __init__(self, item, share: int) -> None:
        self._key, self._share = item.nodeid, share
        self.counts = _note(item, item.nodeid, cases=0, tried=0, survived=0)

    def choose(self, items: Sequence[T], name: str = '') -> list[T]:
        """The cases to run; ``name`` tells several calls of one test apart."""
        some = chosen(items, self._key + name, self._share)
        self.counts['cases'] += len(items)
        self.counts['tried'] += len(some)
        return some

    def survived(self, count: int = 1) -> None:
        """Note cases that ended as they should."""
        self.counts['survived'] += count


@pytest.fixture
def campaign(request):
    """See :class:`Campaign`."""
    return Campaign(request.node, 1 if request.config.getoption('--full') else SHARE)


def _note(item, group: str, **counts: int) -> dict[str, Any]:
    """Let a test's report carry what it counts, also out of a worker."""
    fact = dict(section=item.module.SECTION, group=group, **counts)
    item.user_properties.append(('campaign', fact))
    return fact


def pytest_addoption(parser):
    group = parser.getgroup('reliability campaign')
    group.addoption('--full', action='store_true', help='run all cases, not a tenth')
    group.addoption(
        '--campaign-table', metavar='FILE', help='write the table there, with --full'
    )


def pytest_configure(config):
    config.addinivalue_line('markers', 'campaign: a case of the reliability campaign')
    if config.getoption('--campaign-table') and not config.getoption('--full'):
        raise pytest.UsageError('--campaign-table needs --full')


def pytest_collection_modifyitems(config, items):
    # Who names single cases on the command line wants those.
    full = config.getoption('--full') or any('[' in str(arg) for arg in config.args)
    groups = defaultdict(list)
    for item in items:
        if item.get_closest_marker('campaign'):
            groups[item.nodeid.partition('[')[0]].append(item)
    dropped = set()
    for key, members in groups.items():
        (share,) = members[0].get_closest_marker('campaign').args
        kept = chosen(members, key, 1 if full else share)
        for item in kept:
            _note(item, key, cases=len(members), tried=1)
        dropped |= set(members) - set(kept)
    if dropped:
        config.hook.pytest_deselected(items=[i for i in items if i in dropped])
        items[:] = [item for item in items if item not in dropped]


def pytest_runtest_logreport(report):
    """Keep what a report tells, here or of a worker."""
    ended = report.when == 'call' or (report.when == 'setup' and report.failed)
    for name, fact in report.user_properties:
        if name == 'campaign' and ended and not report.skipped:
            _FACTS.append({'survived': int(report.passed), **fact})


def _rows() -> dict[int, str]:
    """Section number to its row."""
    rows = {}
    for number, name in sorted({tuple(fact['section']) for fact in _FACTS}):
        own = [fact for fact in _FACTS if fact['section'][0] == number]
        # Every case of a group says how many there are.
        total = sum({fact['group']: fact['cases'] for fact in own}.values())
        tried, survived = (sum(f[key] for f in own) for key in ('tried', 'survived'))
        rows[number] = f'| {number} | {name} | {total:,} | {tried:,} | {survived:,} |\n'
    return rows


def pytest_terminal_summary(terminalreporter, config):
    if _FACTS:
        terminalreporter.section('reliability campaign')
        terminalreporter.write(_HEAD + ''.join(_rows().values()))
        if path := config.getoption('--campaign-table'):
            put_table(Path(path), _rows())


def put_table(path: Path, rows: Mapping[int, str]) -> None:
    """Write rows into a file's table, keeping those of other sections."""
    text = path.read_text(encoding='utf-8')
    try:
        old = marked(text, 'campaign') + '\n'
    except ValueError as error:
        raise pytest.UsageError(f'{path}: {error}') from None
    kept = {int(m[1]): m[0] for m in re.finditer(r'(?m)^\| (\d+) \|.*\n', old)}
    table = _HEAD + ''.join(row for _, row in sorted({**kept, **rows}.items()))
    path.write_text(fill_marked(text, 'campaign', table), encoding='utf-8')
