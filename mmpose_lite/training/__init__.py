"""What the Runner calls while it trains; importing this module registers it."""

from .data_guard import DataGuardHook, ZeroBasedMpiiDataset
from .fit import CheckFitHook
from .recalibration import BNRecalibrationHook
from .reproducible import AtomicCheckpointHook, EpochSeedHook
from .search import PenaltyHook, ShrinkHook

__all__ = [
    'AtomicCheckpointHook',
    'BNRecalibrationHook',
    'CheckFitHook',
    'DataGuardHook',
    'EpochSeedHook',
    'PenaltyHook',
    'ShrinkHook',
    'ZeroBasedMpiiDataset',
]
