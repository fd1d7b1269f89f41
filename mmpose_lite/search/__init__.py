"""Resource-aware search: costs, penalty, shrinking."""

from .averaging import RampedAverage
from .costs import CostModel, MacsCost, PublishedMacsCost
from .estimator import SearchablePoseEstimator
from .latency import (
    LatencyCost,
    LatencySettings,
    measure_latency,
    verify_latency,
)
from .penalty import THRESHOLD, ResourcePenalty
from .shrinking import BlockMask, Masks, decide, discard, follow, planned_arch, shrink
from .uniform import uniform_arch

__all__ = [
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
    'follow',
    'measure_latency',
    'planned_arch',
    'shrink',
    'uniform_arch',
    'verify_latency',
]
