"""Every row of every table of backbones: a new row is tested by existing."""

from __future__ import annotations

from functools import partial
from typing import Any

from mmpose_lite.models.backbones import (
    HRNASNet,
    LiteHRNet,
    XHRNet,
    litehrnet,
    xhrnet,
)
from mmpose_lite.models.backbones.hrnas_arch import SPACES, TRANSFORMERS

TABLES = {LiteHRNet: litehrnet.ARCHS, XHRNet: xhrnet.ARCHS}
ROWS = [(cls, name) for cls, table in TABLES.items() for name in table]
IDS = [f'{cls.__name__}-{name}' for cls, name in ROWS]
SPACE_ROWS = [(base, mode) for base in SPACES for mode in TRANSFORMERS]
NETS = {
    **{name: partial(cls, arch) for name, (cls, arch) in zip(IDS, ROWS, strict=True)},
    **{
        f'HRNASNet-{base}-{mode}': partial(
            HRNASNet, space=dict(base=base, transformer=mode)
        )
        for base, mode in SPACE_ROWS
    },
}
"""Name to constructor of every backbone of the package's own tables."""
TINY = dict(num_modules=(1, 1), channels=((8, 16), (8, 16, 24)), stem_channels=8)
"""An arch of one's own, small enough for float64 and gradients."""
TINY_ROWS = [
    (LiteHRNet, dict(TINY, unit='ccw')),
    (LiteHRNet, dict(TINY, unit='naive')),
    (XHRNet, dict(TINY, unit='sequential')),
    (XHRNet, dict(TINY, unit='parallel')),
    (XHRNet, dict(TINY, unit='naive')),
]
TINY_IDS = [f'{cls.__name__}-{arch["unit"]}' for cls, arch in TINY_ROWS]


def hrnet_stage(branches: int, block: str = 'BASIC', **changes: Any) -> dict[str, Any]:
    """A stage of an HRNet, as narrow as attention allows."""
    return {
        **dict(
            num_modules=1,
            num_branches=branches,
            block=block,
            num_blocks=(1,) * branches,
            num_channels=tuple(8 * 2**i for i in range(branches)),
        ),
        **changes,
    }


def hrnet_extra(**changes: Any) -> dict[str, Any]:
    """Stages of an HRNet, some of them changed."""
    stages = {f'stage{i}': hrnet_stage(i) for i in range(2, 5)}
    return {'stage1': hrnet_stage(1, 'BOTTLENECK'), **stages, **changes}
