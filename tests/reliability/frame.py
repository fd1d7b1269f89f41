"""Frame of the reliability campaign: which cases run, and the table of what survived.

A file of the campaign names its section once::

    from reliability.frame import cases

    SECTION = (2, 'Bad data')

and marks its tests in one of two ways. A case per test::

    @cases({'zero bytes': b'', 'text': b'hello'})
    def test_image(case, tmp_path): ...

of which a tenth runs, chosen by seed, and all with ``--full``. Or, where a case is too
small for a test of its own, a loop over what the fixture ``campaign`` chooses::

    def test_many(campaign):
        for mutation in campaign.choose(MUTATIONS):
            ...
            campaign.survived()

Tests without either always run and are not counted. Cases must be the same list in
every process and of one order (no sets, no times): with xdist every worker chooses.

``pytest tests/reliability --full`` runs everything. The seed is the day's date, or
``MMPOSE_LITE_CAMPAIGN_SEED``; it stands in the header, so that a failure can be
repeated. At the end there is a table of cases there are, tried and survived per
section. With ``--full --campaign-table FILE`` it is also written into FILE, between the
lines ``<!-- campaign -->`` and ``<!-- /campaign -->`` if it has them; rows of sections
that did not run stay.

This is a plugin and no ``conftest.py``: with xdist the process that prints the table
collects nothing, so only what ``tests/conftest.py`` names is there.
"""

from __future__ import annotations

import datetime
import math
import os
import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar('T')
SEED = 'MMPOSE_LITE_CAMPAIGN_SEED'
SHARE = 10
"""One case in so many runs by default."""
_HEAD = '| § | section | cases | tried | survived |\n|---|---|---|---|---|\n'
_BEGIN, _END = '<!-- campaign -->\n', '<!-- /campaign -->'


def cases(table: Mapping[str, Any] | Sequence[Any], **options: Any):
    """Decorator: one test per case, given as argument ``case``; a tenth of them runs.

    Args:
        table: Name to case, or cases that pytest can name.
        **options: Of ``pytest.mark.parametrize``.
    """
    if isinstance(table, Mapping):
        options.setdefault('ids', [str(name) for name in table])
        table = list(table.values())

    def decorate(function):
        marked = pytest.mark.campaign(function)
        return pytest.mark.parametrize('case', table, **options)(marked)

    return decorate


def chosen(items: Sequence[T], key: str, *, full: bool, seed: str) -> list[T]:
    """A tenth of the items, at least one, in their order; all of them if ``full``."""
    if full:
        return list(items)
    count = math.ceil(len(items) / SHARE)
    places = random.Random(f'{seed}:{key}').sample(range(len(items)), count)
    return [items[place] for place in sorted(places)]


class Campaign:
    """What a test with a loop of its own tells about its cases.

    Attributes:
        full: Whether all cases run.
        seed: Text to seed a test's own random generators with.
    """

    def __init__(self, key: str, full: bool, seed: str) -> None:
        self.full = full
        self.seed = seed
        self._key = key
        self.counts = dict(cases=0, tried=0, survived=0)

    def choose(self, items: Sequence[T], name: str = '') -> list[T]:
        """The cases to run; ``name`` tells several calls of one test apart."""
        some = chosen(items, self._key + name, full=self.full, seed=self.seed)
        self.counts['cases'] += len(items)
        self.counts['tried'] += len(some)
        return some

    def survived(self, count: int = 1) -> None:
        """Note cases that ended as they should."""
        self.counts['survived'] += count


@pytest.fixture
def campaign(request) -> Campaign:
    """Chooses and counts the cases of a test that loops over them."""
    found = Campaign(
        request.node.nodeid, request.config.getoption('--full'), os.environ[SEED]
    )
    request.node.stash[_OWN] = found
    return found


_OWN = pytest.StashKey[Campaign]()
_GROUP = pytest.StashKey[tuple[str, int]]()


def pytest_addoption(parser):
    group = parser.getgroup('reliability campaign')
    group.addoption('--full', action='store_true', help='run all cases, not a tenth')
    group.addoption(
        '--campaign-table', metavar='FILE', help='write the table there, with --full'
    )


def pytest_configure(config):
    config.addinivalue_line('markers', 'campaign: a case of the reliability campaign')
    # Set here, it is the same in every worker that this process starts.
    os.environ.setdefault(SEED, datetime.date.today().strftime('%Y%m%d'))
    if config.getoption('--campaign-table') and not config.getoption('--full'):
        raise pytest.UsageError('--campaign-table needs --full')
    if not hasattr(config, 'workerinput'):
        config.pluginmanager.register(_Table(config))


def pytest_report_header(config):
    share = 'all cases' if config.getoption('--full') else f'one case in {SHARE}'
    return f'reliability campaign: {share}, {SEED}={os.environ[SEED]}'


def pytest_collection_modifyitems(config, items):
    groups = defaultdict(list)
    for item in items:
        if item.get_closest_marker('campaign'):
            groups[item.nodeid.partition('[')[0]].append(item)
    dropped = set()
    for key, members in groups.items():
        options = dict(full=config.getoption('--full'), seed=os.environ[SEED])
        # Who names single cases on the command line wants those.
        if any('[' in str(argument) for argument in config.args):
            options['full'] = True
        kept = chosen(members, key, **options)
        for item in kept:
            item.stash[_GROUP] = key, len(members)
        dropped |= set(members) - set(kept)
    if dropped:
        config.hook.pytest_deselected(items=[i for i in items if i in dropped])
        items[:] = [item for item in items if item not in dropped]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Send a case's outcome along with its report, also out of a worker."""
    report = yield
    counted = call.when == 'call' or (call.when == 'setup' and not report.passed)
    section = getattr(getattr(item, 'module', None), 'SECTION', None)
    if section is None or not counted or report.skipped:
        return report
    group = item.stash.get(_GROUP, None)
    own = item.stash.get(_OWN, None)
    fact: dict[str, Any] | None = None
    if group is not None:
        fact = dict(group=group[0], cases=group[1], tried=1, survived=+report.passed)
    elif own is not None and own.counts['cases']:
        fact = dict(group=item.nodeid, **own.counts)
    if fact is not None:
        fact['section'] = list(section)
        report.user_properties.append(('campaign', fact))
    return report


class _Table:
    """Counts what reports tell, and prints it at the end."""

    def __init__(self, config) -> None:
        self.config = config
        self.groups: dict[tuple[int, str], dict[str, int]] = defaultdict(dict)
        self.counts: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])

    def pytest_runtest_logreport(self, report):
        facts = [v for name, v in report.user_properties if name == 'campaign']
        # Properties of a test lie in the reports of its later phases, too.
        if facts and report.when != 'teardown':
            fact = facts[-1]
            section = tuple(fact['section'])
            self.groups[section][fact['group']] = fact['cases']
            self.counts[section][0] += fact['tried']
            self.counts[section][1] += fact['survived']

    def rows(self) -> dict[int, str]:
        """Section number to its row."""
        return {
            number: f'| {number} | {name} | {sum(self.groups[number, name].values()):,}'
            f' | {tried:,} | {survived:,} |\n'
            for (number, name), (tried, survived) in sorted(self.counts.items())
        }

    def pytest_terminal_summary(self, terminalreporter):
        if not self.counts:
            return
        terminalreporter.section(f'reliability campaign, {SEED}={os.environ[SEED]}')
        terminalreporter.write(_HEAD + ''.join(self.rows().values()))
        path = self.config.getoption('--campaign-table')
        if path:
            put_table(Path(path), self.rows())


def put_table(path: Path, rows: Mapping[int, str]) -> None:
    """Write rows into a file's table, keeping those of other sections."""
    text = path.read_text(encoding='utf-8') if path.is_file() else _BEGIN + _END
    before, begin, rest = text.partition(_BEGIN)
    old, end, after = rest.partition(_END)
    if not begin or not end:
        raise pytest.UsageError(f'{path} has no lines {_BEGIN.strip()} and {_END}')
    kept = {int(m[1]): m[0] for m in re.finditer(r'(?m)^\| (\d+) \|.*\n', old)}
    merged = sorted({**kept, **rows}.items())
    table = _HEAD + ''.join(row for _, row in merged)
    path.write_text(before + begin + table + end + after, encoding='utf-8')
