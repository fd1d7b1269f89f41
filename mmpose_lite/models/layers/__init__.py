"""Building blocks, one idea a file; they import torch and mmcv.cnn only."""

from .ccw import ConditionalChannelWeighting
from .checkpoint import checkpoint_keeping_stats
from .conv import conv_norm, depthwise_pointwise
from .psa import PolarizedSelfAttention
from .shuffle import (
    PerBranch,
    ShuffleUnit,
    halves,
    interleave,
    naive_transform,
    shuffle_chains,
)
from .susa import SUSA, ParallelSUSA

__all__ = [
    'SUSA',
    'ConditionalChannelWeighting',
    'ParallelSUSA',
    'PerBranch',
    'PolarizedSelfAttention',
    'ShuffleUnit',
    'checkpoint_keeping_stats',
    'conv_norm',
    'depthwise_pointwise',
    'halves',
    'interleave',
    'naive_transform',
    'shuffle_chains',
]
