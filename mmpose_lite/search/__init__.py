"""Resource-aware search: costs, penalty, shrinking."""

from .averaging import RampedAverage
from .costs import CostModel, MacsCost, PublishedMacsCost
from .estimator import SearchablePoseEstimator
from .penalty import THRESHOLD, ResourcePenalty
from .shrinking import BlockMask, Masks, decide, discard, follow, planned_arch, shrink

__all__ = [
    'THRESHOLD',
    'BlockMask',
    'CostModel',
    'MacsCost',
    'Masks',
    'PublishedMacsCost',
    'RampedAverage',
    'ResourcePenalty',
    'SearchablePoseEstimator',
    'decide',
    'discard',
    'follow',
    'planned_arch',
    'shrink',
]
