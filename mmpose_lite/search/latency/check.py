"""How well a latency table predicts networks that it has not seen."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...io.markdown import markdown_table
from ...models.backbones.hrnas_arch import full_arch
from ..costs import MacsCost
from .cost import LatencyCost
from .measure import LatencySettings, Progress, random_networks, time_subjects

LEAST_SPEARMAN, LARGEST_ERROR = 0.95, 0.1


@dataclass(frozen=True)
class Check:
    """A network's time, predicted and measured.

    Attributes:
        macs: MACs of the backbone.
        fraction: Of the supernet's.
        predicted: Milliseconds by the table.
        measured: Milliseconds, median over the rounds.
    """

    macs: float
    fraction: float
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """Of the prediction, relative to what was measured."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True)
class Verification:
    """How well a table predicts networks that it has not seen.

    Attributes:
        image_size: Height and width of the images.
        rounds: Of which medians were taken.
        checks: The networks, MACs rising.
    """

    image_size: tuple[int, int]
    rounds: int
    checks: tuple[Check, ...]

    @property
    def median_error(self) -> float:
        """Median of the absolute relative errors."""
        return statistics.median(abs(check.error) for check in self.checks)

    def spearman(self, by: str = 'predicted') -> float:
        """Rank correlation of an attribute of the checks with the measured times."""
        values = [getattr(check, by) for check in self.checks]
        return rank_correlation(values, [check.measured for check in self.checks])

    def as_data(self) -> dict[str, Any]:
        """What the table's file keeps of it."""
        return dict(
            image_size=list(self.image_size),
            rounds=self.rounds,
            spearman=self.spearman(),
            spearman_of_macs=self.spearman('macs'),
            median_error=self.median_error,
            networks=[dict(asdict(c), error=c.error) for c in self.checks],
        )

    def __str__(self) -> str:
        """Every network, then the figures that count."""
        header = ('of the supernet', 'MMACs', 'predicted ms', 'measured ms', 'error')
        rows = [
            (
                f'{c.fraction:.0%}',
                f'{c.macs / 1e6:.1f}',
                f'{c.predicted:.2f}',
                f'{c.measured:.2f}',
                f'{c.error:+.1%}',
            )
            for c in self.checks
        ]
        spearman, error = self.spearman(), self.median_error
        met = spearman >= LEAST_SPEARMAN and error <= LARGEST_ERROR
        return (
            f'### {self.image_size[0]}x{self.image_size[1]}\n\n'
            f'{markdown_table(header, rows)}\n\n'
            f'Spearman {spearman:.3f} (at least {LEAST_SPEARMAN}; of MACs '
            f'{self.spearman("macs"):.3f}), median error {error:.1%} '
            f'(at most {LARGEST_ERROR:.0%}): {"met" if met else "not met"}'
        )


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's coefficient; NaN where all of one are equal."""
    ranks = []
    for values in (first, second):
        array = np.asarray(values, float)
        # Equal values share the mean of their ranks, up to a constant.
        ranks.append(np.sign(array[:, None] - array[None]).sum(1))
    if any(rank.std() == 0 for rank in ranks):
        return math.nan
    return float(np.corrcoef(*ranks)[0, 1])


def verify_latency(
    settings: LatencySettings,
    table: Mapping[str, Any],
    count: int,
    progress: Progress = lambda *_: None,
) -> list[Verification]:
    """Time random networks and compare them with what a table predicts.

    Args:
        settings: How; what the table's networks depend on must agree with it.
        table: As of :func:`measure_latency`.
        count: Networks, spread evenly over 20 to 100 % of the supernet's MACs.
        progress: Called after every step.

    Returns:
        A verification an image size.

    Raises:
        ValueError: If the table is of another engine, or lacks an image size.
    """
    space, sizes = settings.space, settings.image_sizes
    costs = [LatencyCost(table, size, engine=settings.engine) for size in sizes]
    found = []
    for size, cost in zip(sizes, costs, strict=True):
        macs = MacsCost(size)
        whole = macs.network(space, full_arch(space))
        networks = random_networks(settings, size, count)
        groups = [[network] for network in networks]
        title = f'{size[0]}x{size[1]}, verifying'
        medians = time_subjects(settings, size, groups, progress, title)
        checks = []
        for network in networks:
            own = macs.network(space, network.arch)
            predicted = cost.network(space, network.arch)
            checks.append(Check(own, own / whole, predicted, medians[network]))
        found.append(Verification(size, settings.rounds, tuple(checks)))
    return found
