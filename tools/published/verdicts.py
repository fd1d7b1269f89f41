"""What was measured beside what was published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zoo.pages import table

from .data import Data
from .found import Found

AGREES, DEVIATES, FAILED = 'agrees', 'deviates', 'failed'
NOT_COMPARABLE, NOTHING = 'not comparable', 'nothing published'


@dataclass
class Result:
    """One model with one file; figures are shares of 1."""

    model: str
    file: str
    verdict: str
    why: str = ''
    layout: str = ''
    boxes: str = ''
    seconds: float = 0.0
    measured: dict[str, float] = field(default_factory=dict)
    published: dict[str, float] = field(default_factory=dict)
    source: str = ''

    @property
    def deviations(self) -> dict[str, float]:
        """By metric, measured minus published, in points of a hundred."""
        return {
            name: 100 * (self.measured[name] - value)
            for name, value in self.published.items()
            if name in self.measured
        }


def judge(
    found: Found, data: Data, measured: dict[str, float], tolerance: float
) -> Result:
    """Compare, where figures can be compared.

    Args:
        found: Model, file and what was published.
        data: What it was tested on.
        measured: Figures, as shares of 1.
        tolerance: Largest deviation, in points of a hundred, that counts as agreement.
    """
    boxes = data.boxes_for(found.boxes)
    result = Result(
        found.model.aliases[0],
        str(found.path),
        AGREES,
        boxes=boxes,
        measured=measured,
        published=dict(found.metrics),
        source=found.source,
    )
    # What is left of a float must not decide; a NaN agrees with nothing.
    beyond = [
        f'{name} by {points:+.2f} points'
        for name, points in result.deviations.items()
        if not abs(points) <= tolerance + 1e-6
    ]
    if not result.published:
        result.verdict = NOTHING
    elif data.missing:
        result.verdict, result.why = NOT_COMPARABLE, data.missing
    elif boxes != found.boxes:
        result.verdict = NOT_COMPARABLE
        result.why = f'published with boxes of a {found.boxes}, tested with {boxes}'
    elif beyond:
        result.verdict = DEVIATES
        result.why = f'{", ".join(beyond)}, allowed {tolerance:g}'
    return result


def report(results: Sequence[Result]) -> str:
    """All results as a table, with the reasons below it."""
    rows, notes = [], []
    for result in results:
        name = f'{result.model} ({Path(result.file).name})'
        for metric, value in result.measured.items():
            known = result.published.get(metric)
            rows.append(
                (
                    name,
                    metric,
                    f'{100 * value:.1f}',
                    '–' if known is None else f'{100 * known:.1f}',
                    '–' if known is None else f'{result.deviations[metric]:+.2f}',
                    result.verdict,
                )
            )
        said = '. '.join(filter(None, (result.why, _from(result))))
        notes.append(f'{name}: {result.verdict}{": " * bool(said)}{said}')
    head = ('model (file)', 'metric', 'ours', 'published', 'deviation', '')
    text = '\n'.join(notes)
    return f'{table(head, rows)}\n\n{text}' if rows else text


def _from(result: Result) -> str:
    return f'Published: {result.source}' if result.source else ''


def as_data(result: Result) -> dict[str, Any]:
    """A result for json."""
    return {**asdict(result), 'deviations': result.deviations}
