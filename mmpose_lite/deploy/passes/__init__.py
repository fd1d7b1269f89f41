"""Exact rewriting: the same outputs from fewer operators and bytes."""

from .attention import fold_attention
from .blocks import stay_in_blocks
from .convolving import convolve_attention, convolve_reorders
from .eager import fuse_for_eager
from .exchange import fold_doubling, nest_upsampling
from .norms import fold_norms
from .pipeline import (
    TARGETS,
    Gain,
    gains,
    optimize,
    order_for_eager,
    relative_difference,
    rewrites,
)
from .shuffles import LAYOUTS, absorb_shuffles
from .tokens import fold_positions
from .weighting import merge_weightings

__all__ = [
    'LAYOUTS',
    'TARGETS',
    'Gain',
    'absorb_shuffles',
    'convolve_attention',
    'convolve_reorders',
    'fold_attention',
    'fold_doubling',
    'fold_norms',
    'fold_positions',
    'fuse_for_eager',
    'gains',
    'merge_weightings',
    'nest_upsampling',
    'optimize',
    'order_for_eager',
    'relative_difference',
    'rewrites',
    'stay_in_blocks',
]
