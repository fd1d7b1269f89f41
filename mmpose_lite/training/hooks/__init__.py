"""Hooks of the Runner."""

from ..data_guard import DataGuardHook
from .atomic_checkpoint import AtomicCheckpointHook
from .bn_recalibration import BNRecalibrationHook
from .check_fit import CheckFitHook
from .epoch_seed import EpochSeedHook
from .penalty import PenaltyHook
from .shrink import ShrinkHook

__all__ = [
    'AtomicCheckpointHook',
    'BNRecalibrationHook',
    'CheckFitHook',
    'DataGuardHook',
    'EpochSeedHook',
    'PenaltyHook',
    'ShrinkHook',
]
