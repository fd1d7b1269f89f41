"""Where weights learned to put their heatmaps: codec, crop, flip test.

Weights load into any config of the same network; with another geometry than that of
their training, keypoints are off by up to some pixels and nothing else tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Parameters whose defaults are MMPose's; sizes scale with the crop.
_DEFAULTS = {'unbiased': False, 'blur_kernel_size': 11}
_SIZES = ('input_size', 'heatmap_size')


def geometry_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The geometry that a config of a top-down estimator trains and tests with.

    Returns:
        ``codec`` with its name and parameters, ``udp_warp``, ``shift_heatmap``; empty
        if the config has no codec.
    """
    model = config.get('model') or {}
    codec = (model.get('head') or {}).get('decoder')
    if not codec:
        return {}
    loader = config.get('test_dataloader') or config.get('val_dataloader') or {}
    steps = (loader.get('dataset') or {}).get('pipeline') or ()
    warps = [step for step in steps if step['type'] == 'TopdownAffine']
    test = model.get('test_cfg') or {}
    return {
        'codec': {name: _plain(value) for name, value in codec.items()},
        'udp_warp': any(step.get('use_udp') for step in warps),
        'shift_heatmap': bool(test.get('shift_heatmap')),
    }


def geometry_conflict(trained: Any, used: Mapping[str, Any]) -> str:
    """What differs between two geometries, in one line; empty if nothing matters.

    Args:
        trained: What a file says of its weights, as :func:`geometry_of` gives it; what
            is something else says nothing.
        used: Of the config that loads them. Another size is no difference, and with
            one, another sigma is none.
    """
    if not used or not isinstance(trained, Mapping) or trained.keys() != used.keys():
        return ''
    left, right = _relevant(trained), _relevant(used)
    if any(trained['codec'].get(key) != used['codec'].get(key) for key in _SIZES):
        left['sigma'] = right['sigma'] = None
    return '; '.join(
        f'{name} {value}, here {right[name]}'
        for name, value in left.items()
        if right.get(name, value) != value
    )


def _relevant(geometry: Mapping[str, Any]) -> dict[str, Any]:
    codec = {k: v for k, v in geometry['codec'].items() if k not in _SIZES}
    found = {'codec': codec.pop('type', ''), **_DEFAULTS, **codec}
    if found['codec'] == 'MSRAHeatmap' and not found['unbiased']:
        del found['blur_kernel_size']  # not used
    found |= {name: geometry[name] for name in ('udp_warp', 'shift_heatmap')}
    return found


def _plain(value: Any) -> Any:
    """A parameter of a config as a checkpoint can hold it."""
    if isinstance(value, list | tuple):
        return list(value)
    return getattr(value, '__name__', value)  # of a class, as some configs have it
