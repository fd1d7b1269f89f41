"""Building blocks, one idea a file; they import torch and mmcv.cnn only."""

from .attention import EncoderLayer, SelfAttention
from .ccw import ConditionalChannelWeighting
from .checkpoint import checkpoint_keeping_stats
from .conv import conv_norm, depthwise_pointwise, norm_layer
from .joint_mask import joint_mask
from .light_transformer import LightTransformer
from .pruning import Pruning, SparseConfig, Stream, build_pruning
from .psa import PolarizedSelfAttention
from .searching import InvertedBottleneck, SearchingBlock
from .shuffle import (
    PerBranch,
    ShuffleUnit,
    halves,
    interleave,
    naive_transform,
    shuffle_chains,
)
from .surgery import Cut
from .susa import SUSA, ParallelSUSA
from .tokens import PatchEmbedding, sine_position_table

__all__ = [
    'SUSA',
    'ConditionalChannelWeighting',
    'Cut',
    'EncoderLayer',
    'InvertedBottleneck',
    'LightTransformer',
    'ParallelSUSA',
    'PatchEmbedding',
    'PerBranch',
    'PolarizedSelfAttention',
    'Pruning',
    'SearchingBlock',
    'SelfAttention',
    'ShuffleUnit',
    'SparseConfig',
    'Stream',
    'build_pruning',
    'checkpoint_keeping_stats',
    'conv_norm',
    'depthwise_pointwise',
    'halves',
    'interleave',
    'joint_mask',
    'naive_transform',
    'norm_layer',
    'shuffle_chains',
    'sine_position_table',
]
