"""Tables of measured figures."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown that is also aligned for a terminal.

    The first column is text, the others are figures.
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        padded = [f'{first[0]:<{first[1]}}', *(f'{c:>{w}}' for c, w in rest)]
        return f'| {" | ".join(padded)} |'

    rule = [f'{"-" * widths[0]}', *(f'{"-" * (w - 1)}:' for w in widths[1:])]
    return '\n'.join([line(header), f'| {" | ".join(rule)} |', *map(line, rows)])
