"""Training that neither ends nor goes astray because of damaged data."""

from .datasets import ZeroBasedMpiiDataset
from .hook import DataGuardHook

__all__ = ['DataGuardHook', 'ZeroBasedMpiiDataset']
