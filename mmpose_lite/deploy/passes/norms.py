"""Batch norms folded into the convolutions before them."""

from __future__ import annotations

from mmcv.cnn import ConvModule
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import fuse_conv_bn_eval

from .tree import rewrite

_CONVS = (nn.Conv2d, nn.ConvTranspose2d)


def _fold(conv: nn.Module, norm: nn.Module) -> nn.Module | None:
    """The convolution with the norm in it, or None where that cannot be."""
    if not isinstance(conv, _CONVS) or not isinstance(norm, _BatchNorm):
        return None
    if norm.running_mean is None or norm.running_var is None:
        return None  # normalises by the batch, in eval mode too
    return fuse_conv_bn_eval(conv, norm, isinstance(conv, nn.ConvTranspose2d))


def _fold_group(group: ConvModule) -> nn.Module:
    """MMCV's convolution group as a plain sequence, or a lone convolution."""
    if group.order != ('conv', 'norm', 'act') or group.with_explicit_padding:
        return group
    steps = [group.conv]
    if group.with_norm:
        folded = _fold(group.conv, group.norm)
        if folded is None:
            return group
        steps = [folded]
    if group.with_activation:
        steps.append(group.activate)
    return steps[0] if len(steps) == 1 else nn.Sequential(*steps)


def _fold_sequence(sequence: nn.Sequential) -> nn.Module:
    """A sequence without the norms that follow a convolution."""
    if type(sequence) is not nn.Sequential:
        return sequence
    steps: list[nn.Module] = []
    for step in sequence:
        folded = _fold(steps[-1], step) if steps else None
        if folded is None:
            steps.append(step)
        else:
            steps[-1] = folded
    return nn.Sequential(*steps)


def _fold_pairs(module: nn.Module) -> nn.Module:
    """A residual network or block of MMPose: ``conv1`` with ``norm1_name``, and on."""
    for number in range(1, 4):
        name = getattr(module, f'norm{number}_name', None)
        conv = getattr(module, f'conv{number}', None)
        if name is None or conv is None:
            continue
        folded = _fold(conv, getattr(module, name))
        if folded is not None:
            setattr(module, f'conv{number}', folded)
            setattr(module, name, nn.Identity())
    return module


def fold_norms(model: nn.Module) -> nn.Module:
    """Fold every batch norm that directly follows a convolution.

    In MMCV's convolution groups, in plain sequences and in MMPose's residual networks;
    a norm that stands elsewhere stays.

    Args:
        model: A network in eval mode, rewritten in place.
    """
    rules = {ConvModule: _fold_group, nn.Sequential: _fold_sequence}
    return rewrite(model, {nn.Module: _fold_pairs, **rules})
