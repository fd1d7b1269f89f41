"""``train()`` and ``eval()`` of MMPose's backbones return None; ours can be chained."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

T = TypeVar('T', bound='ReturnsItself')


class ReturnsItself(nn.Module):
    """Mix-in, before a backbone of MMPose: ``train()`` returns the module."""

    def train(self: T, mode: bool = True) -> T:
        """As the backbone's, but returns the module."""
        super().train(mode)
        return self
