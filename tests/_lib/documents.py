"""The documents as data: their blocks of code, links, tables and figures.

A fenced block of Python or shell code is run by ``test_docs.py`` unless the HTML
comment directly before it says otherwise. The comments that mean something:

- ``<!-- not run: REASON -->``;
- ``<!-- run by: tests/test_x.py -->``, which must mention the tools of the block;
- ``<!-- slow -->``: run, but the page's test is a slow one; another may follow, as in
  ``<!-- slow; file: name.py -->``;
- ``<!-- file: name.py -->``: run, and kept under this name for the blocks after it;
- ``<!-- fragment of: CONFIG -->``: part of a config; it is put on top of that config;
- ``<!-- with A for B -->``: run with the text A in the place of B.

All blocks of a page are run in order in one scratch folder, which sees ``configs``,
``tools`` and ``data`` of the project. A Python block with ``_base_`` is a config: it is
read, its hooks are looked up, and its model is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conftest import ROOT
from markdown_it import MarkdownIt
from markdown_it.token import Token

PAGES = sorted([*ROOT.glob('README*.md'), *ROOT.glob('docs/*.md')])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LANGUAGES = {'python': 'python', 'bash': 'bash', 'shell': 'bash', 'sh': 'bash'}
MARKERS = re.compile(
    r'(?:(?P<slow>slow)(?:; |$))?(?:not run: (?P<reason>.+)|run by: (?P<test>\S+)|'
    r'file: (?P<file>\S+)|fragment of: (?P<base>\S+)|'
    r'with (?P<put>\S+) for (?P<place>\S+)|)'
)
FIGURE = re.compile(r'(?<![\w.])\d*\.?\d+(?![\w])')


@dataclass(frozen=True)
class Block:
    """A fenced block of Python or shell code.

    Attributes:
        where: ``page:line``.
        language: ``'python'`` or ``'bash'``.
        code: Its text.
        comment: The HTML comment directly before it, if there is one.
    """

    where: str
    language: str
    code: str
    comment: str | None

    @property
    def marks(self) -> dict[str, str]:
        """What the comment says: groups of :data:`MARKERS`."""
        found = MARKERS.fullmatch(self.comment or '')
        groups = found.groupdict() if found else {}
        return {name: text for name, text in groups.items() if text}

    @property
    def is_run(self) -> bool:
        """Whether ``test_docs.py`` runs it itself."""
        return not {'reason', 'test'} & set(self.marks)

    @property
    def step(self) -> dict[str, str]:
        """What ``run_document.py`` does."""
        marks, code, kind = self.marks, self.code, self.language
        if 'put' in marks:
            assert marks['place'] in code, f'{self.where}: no {marks["place"]!r} there'
            code = code.replace(marks['place'], marks['put'])
        if 'base' in marks:
            code = f'_base_ = [{marks["base"]!r}]\ncodec = _base_.codec\n{code}'
        if kind == 'python' and re.search(r'^_base_ = ', code, re.MULTILINE):
            kind = 'config'
        step = dict(where=self.where, kind=kind, code=code)
        return {**step, 'file': marks['file']} if 'file' in marks else step


def parse(page: Path) -> list[Token]:
    """Tokens of a page, inline ones laid flat among the others."""
    tokens: list[Token] = []
    for token in MarkdownIt('commonmark').parse(page.read_text(encoding='utf-8')):
        tokens += [token, *(token.children or [])]
    return tokens


def blocks(page: Path) -> Iterator[Block]:
    """The fenced Python and shell blocks of a page, in order."""
    before: Token | None = None
    for token in parse(page):
        language = LANGUAGES.get(token.info.strip()) if token.type == 'fence' else None
        if language is not None:
            text = before.content.strip() if before is not None else ''
            found = re.search(r'<!--\s*((?:(?!-->).)*?)\s*-->$', text, re.DOTALL)
            comment = found[1] if before.type == 'html_block' and found else None
            where = f'{page.relative_to(ROOT)}:{token.map[0] + 1}'
            yield Block(where, language, token.content, comment)
        before = token


def links(page: Path) -> list[str]:
    """Targets of the links and pictures of a page that lie in the project."""
    places = {'link_open': 'href', 'image': 'src'}
    found = [t.attrs[places[t.type]] for t in parse(page) if t.type in places]
    return [target for target in found if not re.match(r'[a-z]+:', str(target))]


def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as GitHub makes them."""
    names = set()
    heading = False
    for token in parse(page):
        if token.type == 'inline' and heading:
            text = re.sub(r'[^\w\- ]', '', token.content.lower())
            names.add(text.strip().replace(' ', '-'))
        heading = token.type == 'heading_open'
    return names


def rows(page: Path) -> list[list[str]]:
    """Cells of every line of every table."""
    lines = page.read_text(encoding='utf-8').splitlines()
    found = [line.strip().strip('|').split('|') for line in lines if line[:1] == '|']
    return [[cell.strip() for cell in cells] for cells in found]


def commands(page: Path) -> Iterator[str]:
    """Every shell command of a page, in blocks (run or not) and within sentences."""
    for block in blocks(page):
        if block.language == 'bash':
            whole = block.code.replace('\\\n', ' ')
            yield from (line.split(' #')[0].strip() for line in whole.splitlines())
    for token in parse(page):
        if token.type == 'code_inline':
            yield ' '.join(token.content.split())


def figures(page: Path) -> list[str]:
    """Numbers outside of tables, code and addresses: of two digits, or with a point."""
    inside = ('text', 'softbreak')
    lines = page.read_text(encoding='utf-8').splitlines()
    without_tables = '\n'.join(line for line in lines if line[:1] != '|')
    tokens = MarkdownIt('commonmark').parse(without_tables)
    children = (child for token in tokens for child in token.children or [])
    text = ' '.join(child.content or ' ' for child in children if child.type in inside)
    # Chinese characters count as letters, and no spaces stand around numbers there.
    text = re.sub(r'[^\x00-\x7f]', ' ', text)
    found = [number.lstrip('.') for number in FIGURE.findall(text)]
    return sorted(n for n in found if len(n) > 1)
