"""Hooks of the Runner."""

from .atomic_checkpoint import AtomicCheckpointHook
from .bn_recalibration import BNRecalibrationHook
from .epoch_seed import EpochSeedHook
from .penalty import PenaltyHook
from .shrink import ShrinkHook

__all__ = [
    'AtomicCheckpointHook',
    'BNRecalibrationHook',
    'EpochSeedHook',
    'PenaltyHook',
    'ShrinkHook',
]
