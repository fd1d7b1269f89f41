"""What the benchmark measured, as it lies in results.json."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from mmpose_lite.analysis import Spread, Timing

from .contestants import AS_IS, STRAIGHTFORWARD
from .pose_costs import Costs
from .pose_plan import Entry


@dataclass
class Row:
    """What is known of an entry.

    Attributes:
        entry: Which.
        group: Rows of one group ran interleaved, so only they are compared.
        seconds: Number of the round to seconds of one call.
        megabytes: Peak memory above that of the process before, 10^6 bytes.
        difference: Largest difference from PyTorch's outputs over the largest output.
        error: Why there are no times.
    """

    entry: Entry
    group: int
    seconds: dict[int, float] = field(default_factory=dict)
    megabytes: float | None = None
    difference: float | None = None
    error: str | None = None

    @property
    def timing(self) -> Timing:
        """Its times."""
        return Timing(self.seconds)

    @property
    def milliseconds(self) -> Spread:
        """Median and quartiles over the rounds."""
        spread = self.timing.spread
        return Spread(*(1e3 * v for v in (spread.median, spread.low, spread.high)))


@dataclass
class Results:
    """All that was measured.

    Attributes:
        header: Machine, versions, settings.
        baseline: Name of the contestant that others are compared with.
        contestants: Name to title, whether it is ours, published AP and its source.
        costs: Name to form to costs.
        rows: Measured rows, those of the baseline once a group.
        errors: Name to why the contestant could not be built or exported.
        extras: What else was asked for: training, bound, gains.
    """

    header: dict[str, Any]
    baseline: str
    contestants: dict[str, dict[str, Any]]
    costs: dict[str, dict[str, Costs]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether anything has no figures."""
        rows = [*self.rows, *self.gain_rows]
        return bool(self.errors) or any(row.error for row in rows)

    @property
    def gain_rows(self) -> list[Row]:
        """Rows of the rewrites, if they were timed."""
        timed = self.extras.get('gains', {}).get('timed')
        return [] if timed is None else Results.from_data(timed).rows

    def as_data(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Results:
        """What :meth:`as_data` gave, also after JSON made text of its keys."""
        costs = {
            name: {form: Costs(**values) for form, values in forms.items()}
            for name, forms in data['costs'].items()
        }
        rows = [
            Row(
                **{
                    **row,
                    'entry': Entry(**row['entry']),
                    'seconds': {int(n): s for n, s in row['seconds'].items()},
                }
            )
            for row in data['rows']
        ]
        return cls(**{**data, 'costs': costs, 'rows': rows})

    def good(self, batch: int | None = None) -> list[Row]:
        """Rows with times, each entry once, in order."""
        found: dict[Entry, Row] = {}
        for row in self.rows:
            if row.seconds and batch in (None, row.entry.batch):
                found.setdefault(row.entry, row)
        return list(found.values())

    def in_group(self, group: int, batch: int) -> list[Row]:
        """Rows with times that were interleaved."""
        return [
            row
            for row in self.rows
            if row.group == group and row.entry.batch == batch and row.seconds
        ]

    def rival(self, row: Row) -> Row | None:
        """What of the baseline a row is compared with: same engine, same rounds.

        Of an exported baseline that is its straightforward form, if it has one.
        """
        entry = row.entry
        rivals = {
            other.entry.form: other
            for other in self.in_group(row.group, entry.batch)
            if other.entry.contestant == self.baseline
            and (other.entry.engine, other.entry.precision)
            == (entry.engine, entry.precision)
        }
        return rivals.get(STRAIGHTFORWARD, rivals.get(AS_IS))


def fastest(rows: Iterable[Row]) -> Row | None:
    """The row with the lowest median."""
    return min(rows, key=lambda row: row.timing.spread.median, default=None)


def columns(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Engines and precisions that rows have, in order."""
    return list(dict.fromkeys((r.entry.engine, r.entry.precision) for r in rows))
