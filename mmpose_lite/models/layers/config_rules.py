"""Rules for the parts of configs that MMCV and MMEngine read, tried before they are.

What they would refuse with an error of their own, or only when training begins, is
refused when a network is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmcv.cnn import build_conv_layer, build_norm_layer
from mmengine.model import initialize
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...checks import NOTHING, Rule, check, each, number, whole

_NORM_OPTIONS = dict(
    num_groups=whole(1), eps=number(above=0), momentum=NOTHING | number(0, 1)
)


@contextmanager
def _aside() -> Iterator[None]:
    """On the CPU, without a trace in the random generators."""
    with torch.device('cpu'), torch.random.fork_rng(devices=[]), torch.no_grad():
        yield


def _norm(cfg: Any) -> nn.Module | None:
    """The norm of a config for as few channels as it takes, tried on a map."""
    if not isinstance(cfg, Mapping):
        return None
    for name in cfg.keys() & _NORM_OPTIONS.keys():
        check(name, cfg[name], _NORM_OPTIONS[name])
    groups = cfg.get('num_groups', 1)
    with _aside():
        layer = build_norm_layer(dict(cfg), 2 * groups)[1].eval()
        x = torch.zeros(1, 2 * groups, 3, 4)
        y = layer(x)
    if not isinstance(y, Tensor) or y.shape != x.shape:
        raise ValueError('it is no norm of maps')
    return layer


def _is_batch_norm(cfg: Any) -> bool:
    layer = _norm(cfg)
    if layer is None:
        return False
    if not isinstance(layer, _BatchNorm) or layer.weight is None:
        raise ValueError('a search needs its weights, one per channel')
    if not layer.track_running_stats:
        raise ValueError('a search needs its running statistics')
    return True


def _is_conv(cfg: Any) -> bool:
    if not isinstance(cfg, Mapping):
        return False
    with _aside():
        layer = build_conv_layer(dict(cfg), 2, 2, 3, padding=1, bias=False)
    if layer.weight.ndim != 4:
        raise ValueError('it is no convolution of maps')
    return True


def _is_init(cfg: Any) -> bool:
    """Whether an initialisation runs on layers that it may be meant for."""
    if not isinstance(cfg, Mapping):
        return False
    cfg = {key: value for key, value in cfg.items() if key != '_scope_'}
    if cfg.get('type') == 'Pretrained':
        known = {'type', 'checkpoint', 'prefix', 'map_location'}
        if not set(cfg) <= known or not isinstance(cfg.get('checkpoint'), str):
            raise ValueError("'Pretrained' takes a checkpoint and a prefix")
        return True
    override = cfg.pop('override', None) or []
    with _aside():
        layers = nn.Sequential(
            nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Linear(2, 2), nn.LayerNorm(2)
        )
        initialize(layers, [cfg])
    for part in override if isinstance(override, list | tuple) else [override]:
        if not isinstance(part, Mapping) or not isinstance(part.get('name'), str):
            raise ValueError('override must name a part of the network')
        # An override without a type repeats what it stands in.
        rest = {key: value for key, value in part.items() if key != 'name'}
        if rest:
            _is_init(rest)
    return True


NORM_CFG = Rule(
    "a norm of maps such as dict(type='BN')", lambda cfg: _norm(cfg) is not None
)
BATCH_NORM_CFG = Rule("a batch norm such as dict(type='BN')", _is_batch_norm)
CONV_CFG = NOTHING | Rule("a convolution such as dict(type='Conv2d')", _is_conv)
_INIT = Rule("an initialisation such as dict(type='Normal', std=0.001)", _is_init)
INIT_CFG = NOTHING | _INIT | each(_INIT)
