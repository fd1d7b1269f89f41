"""How well a latency table predicts networks that it has not seen."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmpose_lite.models.backbones.hrnas_arch import full_arch
from mmpose_lite.search import LatencyCost, MacsCost

from .latency import Network, Report, time_subjects
from .latency_plan import Plan
from .thinning import spread, thin


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
        checks: The networks, MACs rising.
    """

    image_size: tuple[int, int]
    checks: tuple[Check, ...]

    @property
    def median_error(self) -> float:
        """Median of the absolute relative errors."""
        return statistics.median(abs(check.error) for check in self.checks)

    @property
    def spearman(self) -> float:
        """Rank correlation of predicted with measured times."""
        checks = self.checks
        return rank_correlation(
            [c.predicted for c in checks], [c.measured for c in checks]
        )

    @property
    def spearman_macs(self) -> float:
        """Rank correlation of MACs with measured times, for comparison."""
        checks = self.checks
        return rank_correlation([c.macs for c in checks], [c.measured for c in checks])


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's coefficient; NaN where all of one are equal."""
    ranks = [_ranks(values) for values in (first, second)]
    if any(rank.std() == 0 for rank in ranks):
        return math.nan
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks, their mean for equal values."""
    array = np.asarray(values, float)
    below = (array[:, None] > array[None]).sum(1)
    return below + ((array[:, None] == array[None]).sum(1) - 1) / 2


def verify(plan: Plan, table: dict, count: int, report: Report) -> list[Verification]:
    """Time random networks, spread evenly over 20 to 100 % of the supernet's MACs."""
    found = []
    for size in plan.image_sizes:
        macs = MacsCost(size)
        cost = LatencyCost(table, size, engine=plan.engine)
        whole = macs.network(plan.space, full_arch(plan.space))
        nets = [
            Network(thin(plan.space, fraction, seed, size, plan.multiple))
            for seed, fraction in enumerate(spread(count))
        ]
        title = f'{size[0]}x{size[1]}, verifying'
        medians = time_subjects(plan, size, [[net] for net in nets], report, title)
        checks = []
        for net in nets:
            own = macs.network(plan.space, net.arch)
            predicted = cost.network(plan.space, net.arch)
            checks.append(Check(own, own / whole, predicted, medians[net]))
        found.append(Verification(size, tuple(checks)))
    return found
