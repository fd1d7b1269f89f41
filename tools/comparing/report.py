"""The table of a comparison: what was trained, how, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from mmpose_lite.io.files import write_atomically
from mmpose_lite.io.markdown import fill_marked, markdown_table

HEADER = ('config', 'params', 'MACs', 'data', 'steps', 'seeds')


@dataclass
class Row:
    """A config, and what came of its trainings.

    Attributes:
        config: Its path.
        data: What it was trained on.
        params: Number of learnable values.
        macs: Multiply-accumulate operations of one image.
        steps: Steps of one training.
        seeds: Of the trainings that ended.
        metrics: Name to one value for each of them.
        step_seconds: Median seconds a step of each, loading of data included.
        logs: Of each, below the folder of the comparison.
        failures: What failed, and where that is logged.
        departs: Part of the recipe to this config's own.
    """

    config: str
    data: str
    params: int | None = None
    macs: int | None = None
    steps: int | None = None
    seeds: list[int] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    step_seconds: list[float] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    departs: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """Whether there is a result."""
        if self.failures:
            return 'failed'
        return 'done' if self.seeds else 'not yet'


def figure(values: Sequence[float], digits: int = 3) -> str:
    """A mean, with the standard deviation where there are several values."""
    if not values:
        return '–'
    spread = f' ± {stdev(values):.{digits}f}' if len(values) > 1 else ''
    return f'{mean(values):.{digits}f}{spread}'


def _cells(row: Row, metrics: Sequence[str], marks: Sequence[str]) -> list[str]:
    known = row.params is not None and row.macs is not None
    minutes = [row.steps * s / 60 for s in row.step_seconds] if row.steps else []
    name = row.config.rpartition('/')[2].removesuffix('.py')
    return [
        f'{name}{"".join(f" [{mark}]" for mark in marks)}',
        f'{row.params / 1e6:.3f} M' if known else '–',
        f'{row.macs / 1e6:.1f} M' if known else '–',
        row.data,
        f'{row.steps}' if row.steps else '–',
        ' '.join(map(str, row.seeds)) or row.state,
        *(figure(row.metrics.get(metric, [])) for metric in metrics),
        figure(row.step_seconds, 2),
        figure(minutes, 1),
        ' '.join([*row.logs, *row.failures]) or '–',
    ]


def markdown(
    rows: Sequence[Row], metrics: Sequence[str], shared: Mapping[str, Any]
) -> str:
    """The table with the shared recipe above, and who departs from it below."""
    notes: dict[str, str] = {}
    marks: list[list[str]] = []
    for row in rows:
        own = [f'{part}: {_short(value)}' for part, value in row.departs.items()]
        marks.append([notes.setdefault(note, str(len(notes) + 1)) for note in own])
    header = [*HEADER, *metrics, 's/step', 'minutes', 'log']
    cells = [_cells(row, metrics, mark) for row, mark in zip(rows, marks, strict=True)]
    parts = [
        '\n'.join(f'- {part}: {_short(value)}' for part, value in shared.items()),
        markdown_table(header, cells),
    ]
    if notes:
        parts.append('\n'.join(f'- [{mark}] {note}' for note, mark in notes.items()))
    failed = [f'- {row.config}: {text}' for row in rows for text in row.failures]
    if failed:
        parts.append('\n'.join(['Failed:', '', *failed]))
    return '\n\n'.join([*parts, ''])


def _short(value: Any) -> str:
    """A value on one line, as Markdown."""
    return value if isinstance(value, str) else f'`{call(value)}`'


def call(value: Any) -> str:
    """A config's value as calls, ``Adam(lr=0.002)``; what is None is left out."""
    if isinstance(value, Mapping):
        given = ', '.join(
            f'{key}={call(item)}'
            for key, item in value.items()
            if key != 'type' and item is not None
        )
        return f'{value.get("type", "dict")}({given})'
    if isinstance(value, list):
        return f'[{", ".join(map(call, value))}]'
    return str(value)


def as_json(
    rows: Sequence[Row], shared: Mapping[str, Any], about: Mapping[str, Any]
) -> str:
    """Everything that is known, for other programs."""
    found = [{**asdict(row), 'state': row.state} for row in rows]
    return json.dumps(dict(about=about, recipe=shared, rows=found), indent=1)


def put_into(page: Path, text: str) -> None:
    """Write a text between the markers ``comparison`` of a page.

    Raises:
        ValueError: If the page does not have both markers.
    """
    try:
        filled = fill_marked(page.read_text(encoding='utf-8'), 'comparison', text)
    except ValueError as error:
        raise ValueError(f'{page}: {error}') from None
    write_atomically(page, filled.encode())
