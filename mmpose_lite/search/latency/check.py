"""How well a latency table predicts networks that it has not seen."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...io.markdown import markdown_table
from ...models.backbones.hrnas_arch import full_arch
from ..costs import MacsCost
from .cost import LatencyCost
from .measure import LatencySettings, Progress, random_networks, time_subjects

LEAST_SPEARMAN, LARGEST_ERROR = 0.95, 0.1


class Check(NamedTuple):
    """A network's time by the table and measured (median), in ms, and its MACs.

    ``fraction`` is of the supernet's MACs, ``error`` relative to what was measured.
    """

    macs: float
    fraction: float
    predicted: float
    measured: float
    error: float


class Verification:
    """How well a table predicts networks that it has not seen.

    Attributes:
        spearman: Rank correlation of the predicted and the measured times.
        spearman_of_macs: The same of MACs and measured times.
        median_error: Median of the absolute relative errors.
    """

    def __init__(
        self, image_size: Sequence[int], rounds: int, checks: Sequence[Check]
    ) -> None:
        self.image_size, self.rounds, self.checks = list(image_size), rounds, checks
        macs, _, predicted, measured, errors = zip(*checks, strict=True)
        self.spearman = rank_correlation(predicted, measured)
        self.spearman_of_macs = rank_correlation(macs, measured)
        self.median_error = statistics.median(map(abs, errors))

    def as_data(self) -> dict[str, Any]:
        """What the table's file keeps of it."""
        data = dict(vars(self))
        return {**data, 'networks': [check._asdict() for check in data.pop('checks')]}

    def __str__(self) -> str:
        """Every network, then the figures that count."""
        header = ('of the supernet', 'MMACs', 'predicted ms', 'measured ms', 'error')
        shown = '{1:.0%}|{0:.1f}|{2:.2f}|{3:.2f}|{4:+.1%}'
        rows = [shown.format(c.macs / 1e6, *c[1:]).split('|') for c in self.checks]
        met = self.spearman >= LEAST_SPEARMAN and self.median_error <= LARGEST_ERROR
        return (
            f'### {self.image_size[0]}x{self.image_size[1]}\n\n'
            f'{markdown_table(header, rows)}\n\n'
            f'Spearman {self.spearman:.3f} (at least {LEAST_SPEARMAN}; of MACs '
            f'{self.spearman_of_macs:.3f}), median error {self.median_error:.1%} '
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
        settings: What the table's networks depend on must agree with it.
        count: Networks, spread evenly over 20 to 100 % of the supernet's MACs.

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
            predicted, ms = cost.network(space, network.arch), medians[network]
            checks.append(Check(own, own / whole, predicted, ms, predicted / ms - 1))
        found.append(Verification(size, settings.rounds, checks))
    return found
