"""Resource-aware search: costs, penalty, shrinking, and files of what was found."""

from typing import Any

from .archs import extent, format_arch, uniform_arch
from .averaging import RampedAverage
from .costs import THRESHOLD, CostModel, MacsCost, PublishedMacsCost, ResourcePenalty
from .estimator import ARCH_KEY, SearchablePoseEstimator
from .latency import LatencyCost, LatencySettings, measure_latency, verify_latency
from .shrinking import BlockMask, Masks, decide, discard, follow, planned_arch, shrink

__all__ = [
    'ARCH_KEY',
    'THRESHOLD',
    'BlockMask',
    'CostModel',
    'LatencyCost',
    'LatencySettings',
    'MacsCost',
    'Masks',
    'PublishedMacsCost',
    'RampedAverage',
    'ResourcePenalty',
    'SearchablePoseEstimator',
    'decide',
    'discard',
    'extent',
    'follow',
    'format_arch',
    'measure_latency',
    'planned_arch',
    'shrink',
    'uniform_arch',
    'verify_latency',
    'write_retraining',
]


def __getattr__(name: str) -> Any:
    # Brings the zoo and MMPose's data sets along, which no training needs.
    if name == 'write_retraining':
        from .retrain import write_retraining

        return write_retraining
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
