"""Hooks of the Runner."""

from .atomic_checkpoint import AtomicCheckpointHook
from .epoch_seed import EpochSeedHook

__all__ = ['AtomicCheckpointHook', 'EpochSeedHook']
