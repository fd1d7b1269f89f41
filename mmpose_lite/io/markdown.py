"""Tables as text, and text between the markers of a document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, aligned: bool = True
) -> str:
    """Table in Markdown, without a newline at its end.

    Args:
        rows: Cells, as many a row as there are columns; a ``|`` in them is escaped.
        aligned: Pad cells so that the table also reads well in a terminal, the first
            column on the left as text, the others on the right as figures. Without it
            cells are as short as they are and all on the left.

    Raises:
        ValueError: If a row has another number of cells.
    """
    lines = [
        [re.sub(r'(?<!\\)\|', r'\\|', cell) for cell in row] for row in (header, *rows)
    ]
    for line in lines:
        if len(line) != len(header):
            raise ValueError(f'a row must have {len(header)} cells, got {line}')
    if not aligned:
        first, *rest = (f'| {" | ".join(line)} |' for line in lines)
        return '\n'.join((first, '|' + '---|' * len(header), *rest))
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, [f'{"-:"[i > 0]:->{w}}' for i, w in enumerate(widths)])
    form = ' | '.join(f'{{:{">" if i else "<"}{w}}}' for i, w in enumerate(widths))
    return '\n'.join(f'| {form.format(*line)} |' for line in lines)


def format_table(rows: Mapping[str, str]) -> str:
    """Two aligned columns between rules, for a terminal."""
    name_width = max(map(len, rows), default=0)
    value_width = max(map(len, rows.values()), default=0)
    rule = '-' * (name_width + value_width + 3)
    lines = [
        f'{name:<{name_width}} | {value:>{value_width}}' for name, value in rows.items()
    ]
    return '\n'.join([rule, *lines, rule])


def marked(text: str, name: str) -> str:
    """Text between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``, stripped.

    ValueError if the two markers do not occur exactly once each, in this order.
    """
    return _split(text, name)[1].strip()


def fill_marked(text: str, name: str, content: str) -> str:
    """Text with ``content``, between blank lines, in place of what is marked."""
    before, _, after = _split(text, name)
    return f'{before}\n\n{content.strip()}\n\n{after}'


def _split(text: str, name: str) -> tuple[str, str, str]:
    """What is up to the first marker, between both, and from the second on."""
    begin, end = f'<!-- begin {name} -->', f'<!-- end {name} -->'
    start, stop = text.find(begin) + len(begin), text.find(end)
    if (text.count(begin), text.count(end)) != (1, 1) or stop < start:
        raise ValueError(f'the text must have {begin} once and then {end} once')
    return text[:start], text[start:stop], text[stop:]
