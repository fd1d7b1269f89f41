"""The resource-aware penalty of HR-NAS (arXiv 2106.06560, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..models.backbones import HRNASNet
from ..models.backbones.hrnas_arch import full_arch, places
from .costs import CostModel

THRESHOLD = 1e-3
"""An importance of at most this is dead."""


class ResourcePenalty:
    r"""Sum of importances, each weighted with what its channel or token costs.

    .. math::
        P = \sum_b \alpha_b \sum_c |\gamma_{b, c}|, \qquad \alpha_b = C_b / \bar C

    The mean cost over all channels and tokens of the supernet makes the weights
    comparable between spaces and between MACs and milliseconds.

    Args:
        net: The network that is searched.
        cost: What channels and tokens cost.
        threshold: Tokens above it are living; an attention's cost depends on them.
    """

    def __init__(
        self, net: HRNASNet, cost: CostModel, threshold: float = THRESHOLD
    ) -> None:
        self.cost = cost
        self.threshold = threshold
        self.full = full_arch(net.space)
        total, count = 0.0, 0
        for place, arch in zip(places(net.space), self.full, strict=True):
            total += cost.block(place, arch) - cost.shortcut(place)
            count += sum(arch.channels) + arch.tokens
        self.mean = total / (count + 1e-5)

    def weights(self, net: HRNASNet) -> list[tuple[Tensor, float]]:
        """Importances of every kernel size and transformer, with their weight."""
        found: list[tuple[Tensor, float]] = []
        rows = zip(net.named_blocks(), net.places, self.full, strict=True)
        for (_, block), place, full in rows:
            gammas = block.importances()
            for kernel, gamma in zip(block.kernels, gammas, strict=False):
                cost = self.cost.channel(place, kernel, len(gamma))
                found.append((gamma, cost / self.mean))
            if block.tokens:
                living = int((gammas[-1].detach() > self.threshold).sum())
                cost = self.cost.token(place, full.tokens, living)
                found.append((gammas[-1], cost / self.mean))
        return found

    def __call__(self, net: HRNASNet) -> Tensor:
        """The penalty, differentiable in every importance."""
        terms = [w * gamma.abs().sum() for gamma, w in self.weights(net)]
        if not terms:  # nothing is left to punish
            return next(net.parameters()).new_zeros(())
        return torch.stack(terms).sum()
