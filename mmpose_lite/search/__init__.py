"""Resource-aware search: costs, penalty, shrinking."""

from .costs import CostModel, MacsCost, PublishedMacsCost
from .penalty import THRESHOLD, ResourcePenalty

__all__ = [
    'THRESHOLD',
    'CostModel',
    'MacsCost',
    'PublishedMacsCost',
    'ResourcePenalty',
]
