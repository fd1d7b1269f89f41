"""What the documents say is run, and what they point to exists."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import documents
import pytest
from command_line import python, run_tool
from conftest import ROOT, SHARED
from documents import NAMES, PAGES

from mmpose_lite.checkpoints import LAYOUTS
from mmpose_lite.cli import VERBS, parser_of
from mmpose_lite.zoo import list_models

ENGLISH, CHINESE = ROOT / 'README.md', ROOT / 'README_zh-CN.md'
FIGURES = sorted(ROOT.glob('docs/images/*'))
# Real images and weights, where the project has no copy of them.
REAL = re.compile(r'data/(lspet|coco_mini|mpii_mini)|weights/')
CALLED = re.compile(r'tools/(\w+)\.|mmpose-lite ([a-z][\w-]*)')
every_page = pytest.mark.parametrize('page', PAGES, ids=NAMES)


def own_blocks(page: Path) -> list[documents.Block]:
    """Blocks that a page does not share with the English README."""
    return [] if page == CHINESE else list(documents.blocks(page))


def page_case(page: Path, name: str):
    """A page as a test case, slow if one of its blocks is."""
    slow = any('slow' in block.marks for block in own_blocks(page))
    return pytest.param(page, id=name, marks=[pytest.mark.slow] if slow else [])


@pytest.fixture
def scratch(tmp_path):
    """A folder that looks like the project to the commands of a document."""
    for name in ('configs', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / 'data').mkdir()
    for name in ('data/lspet', 'data/coco_mini', 'data/mpii_mini', 'weights'):
        if (SHARED / name).is_dir():
            (tmp_path / name).symlink_to(SHARED / name)
    return tmp_path


@pytest.mark.parametrize(
    'page',
    [
        page_case(page, name)
        for page, name in zip(PAGES, NAMES, strict=True)
        if any(block.is_run for block in own_blocks(page))
    ],
)
def test_blocks_run(page, scratch, request):
    """Every block of a page without a marker that says otherwise, in order."""
    steps = [block.step for block in own_blocks(page) if block.is_run]
    if any(REAL.search(step['code']) for step in steps):
        request.getfixturevalue('shared')
    script = scratch / 'steps.json'
    script.write_text(json.dumps(steps))
    log = scratch / 'log.txt'
    runner = ROOT / 'tests/_lib/run_document.py'
    variables = {
        'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
        'PYTHONPATH': str(ROOT),
        'PYTHONWARNINGS': 'ignore',
        'OMP_NUM_THREADS': '1',
    }
    with log.open('w') as file:
        running = subprocess.Popen(
            [sys.executable, '-W', 'ignore', runner, script],
            cwd=scratch,
            env={**os.environ, **variables},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = running.wait(timeout=1500)
        finally:
            # Also what a block started, if it did not end in time.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
    assert code == 0, log.read_text()[-5000:]


@every_page
def test_blocks_not_run_say_why(page):
    for block in documents.blocks(page):
        marks = block.marks
        assert marks or block.comment is None, f'{block.where}: {block.comment}?'
        if 'reason' in marks:
            assert len(marks['reason']) > 8, f'{block.where}: that is no reason'
        if 'test' in marks:
            test = ROOT / marks['test']
            assert test.is_file(), f'{block.where}: there is no {marks["test"]}'
            called = {a or b for a, b in CALLED.findall(block.code)}
            assert called, f'{block.where}: no tool to look for in {marks["test"]}'
            missing = [name for name in called if name not in test.read_text()]
            assert not missing, f'{block.where}: {marks["test"]} runs no {missing}'


@every_page
def test_links_resolve(page):
    for target in documents.links(page):
        name, _, anchor = target.partition('#')
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f'{page.name}: {target} does not exist'
        if anchor:
            assert anchor in documents.anchors(there), f'{page.name}: no {target}'


@every_page
def test_files_that_are_named_exist(page):
    pattern = r'(?:configs|tools|tests|docs|mmpose_lite)/[\w./*-]+\.(?:py|sh|md|yml)'
    for name in re.findall(pattern, page.read_text()):
        # MMPose's own files, as its configs name them.
        if not name.startswith('configs/_base_/datasets/'):
            assert [*ROOT.glob(name)], (
                f'{page.name} names {name}: there is no such file'
            )


@cache
def help_of(tool: str, verb: str) -> str:
    """What a program of ``tools/``, or a verb, says about itself."""
    return parser_of(verb).format_help() if verb else run_tool(tool, '--help')


def test_commands_know_the_options_that_documents_give():
    """Of every command anywhere, also of those that are not run."""
    wrong, seen = [], 0
    for page in PAGES:
        for command in documents.commands(page):
            # Of several commands in a line each has its own options.
            for part in re.split(r'&&|;|\|', command):
                called = CALLED.search(part)
                if called is None or '.sh' in part:
                    continue
                seen += 1
                known = re.findall(r'--[\w-]+', help_of(*called.groups(default='')))
                given = re.findall(r'(?<=\s)--[\w-]+', part[called.end() :])
                wrong += [(page.name, part, o) for o in given if o not in known]
    assert seen > 5
    assert not wrong


@pytest.mark.parametrize('page', [ENGLISH, CHINESE], ids=lambda page: page.name)
def test_readmes_list_every_verb(page):
    cells = ' '.join(row[0] for row in documents.rows(page))
    assert set(VERBS) <= set(re.findall(r'`([a-z-]+)`', cells))


def test_the_index_lists_every_page():
    index = ROOT / 'docs' / 'README.md'
    listed = {(index.parent / target).resolve() for target in documents.links(index)}
    assert {page for page in PAGES if page.parent == index.parent} - {index} <= listed


def test_tables_of_models_agree_with_the_zoo():
    zoo, seen = {model.name: model for model in list_models()}, 0
    for page in PAGES:
        for cells in documents.rows(page):
            named = re.match(r'\[([\w-]+)\]\(', cells[0])
            if named is None or named[1] not in zoo:
                continue
            seen += 1
            model = zoo[named[1]]
            cost = [f'{model.params / 1e6:.3f} M', f'{model.macs / 1e6:.1f} M']
            assert cells[1:4] == [model.size, *cost], f'{page.name}: {named[1]}'
            first = model.published.split(', ')[0]
            assert cells[4] in (model.published, first), f'{page.name}: {named[1]}'
    assert seen > len(zoo)


SAME = {
    'code': lambda page: [(b.code, b.comment) for b in documents.blocks(page)],
    'tables': lambda page: [
        re.findall(r'\d[\d.]*', ' '.join(row)) for row in documents.rows(page)
    ],
    'figures': documents.figures,
    'pictures': lambda page: sorted(t for t in documents.links(page) if 'images/' in t),
}


@pytest.mark.parametrize('read', SAME.values(), ids=SAME)
def test_chinese_readme_has_the_same(read):
    assert len(read(ENGLISH)) > 1
    assert read(CHINESE) == read(ENGLISH)


def test_pictures_are_small_and_used():
    links = [(page, link) for page in PAGES for link in documents.links(page)]
    used = {(page.parent / target).resolve() for page, target in links}
    for picture in FIGURES:
        if picture.is_file():
            assert picture.stat().st_size < 200_000, f'{picture.name} is large'
            assert picture in used, f'no document shows {picture.name}'


def test_collector_sees_blocks_comments_and_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, 'ROOT', tmp_path)
    page = tmp_path / 'page.md'
    page.write_text(
        'Of 12 runs .384 or 66.2, 3 failed: `x 99`, [a](b.md#c).\n\n'
        '<!-- not run: needs COCO -->\n```bash\nmim train a \\\n  b\n```\n\n'
        '```text\nno code\n```\n\n'
        '<!-- with 1 for N -->\n```python\nprint(N)\n```\n\n'
        '<!-- of another block -->\ntext\n\n```python\n_base_ = 1\n```\n\n'
        '<!-- nonsense -->\n```sh\nls\n```\n'
    )
    first, second, third, fourth = documents.blocks(page)
    assert (first.where, first.language, first.is_run) == ('page.md:4', 'bash', False)
    assert second.step == dict(where='page.md:14', kind='python', code='print(1)\n')
    assert third.comment is None
    assert third.step['kind'] == 'config'
    assert fourth.comment == 'nonsense'
    assert fourth.is_run
    assert not fourth.marks
    both = documents.Block('here', 'python', 'print()', 'slow; file: a.py')
    assert both.marks == dict(slow='slow', file='a.py')
    assert documents.figures(page) == ['12', '384', '66.2']
    assert documents.links(page) == ['b.md#c']
    assert list(documents.commands(page)) == ['mim train a    b', 'ls', 'x 99']


@pytest.mark.parametrize(
    ('code', 'message'),
    [
        (dict(kind='python', code='raise SystemError(3)'), 'page:7'),
        (dict(kind='bash', code='false\ntrue'), 'CalledProcessError'),
        (
            dict(kind='python', code='import nothing_there', file='a.py'),
            'nothing_there',
        ),
    ],
)
def test_a_failing_block_is_noticed(tmp_path, code, message):
    (tmp_path / 'steps.json').write_text(json.dumps([dict(where='page:7', **code)]))
    done = python(ROOT / 'tests/_lib/run_document.py', 'steps.json', cwd=tmp_path)
    assert done.returncode != 0
    assert message in done.stderr + done.stdout


def test_every_layout_of_checkpoints_is_documented():
    cells = {row[0] for row in documents.rows(ROOT / 'docs' / 'checkpoints.md')}
    assert not {layout.name for layout in LAYOUTS} - cells


def test_the_config_of_the_fine_tuning_page_is_the_one_in_configs():
    """But for the path of its base, which is that of a file elsewhere."""
    (path,) = ROOT.glob('configs/finetune/*.py')
    text = path.read_text().replace("'../", "'configs/")
    shown = [b.code for b in documents.blocks(ROOT / 'docs' / 'finetuning.md')]
    assert text in shown
    assert len(text.splitlines()) < 25


@pytest.mark.parametrize(
    'path', sorted(ROOT.glob('docs/images/*.svg')), ids=lambda p: p.name
)
def test_drawings_show_text_on_a_canvas(path):
    """Drawings are edited by hand: what is left must be an image with its text."""
    root = ElementTree.parse(path).getroot()
    assert root.tag.endswith('}svg')
    assert len(root.get('viewBox').split()) == 4
    assert any(node.tag.endswith('}text') and node.text for node in root.iter())
