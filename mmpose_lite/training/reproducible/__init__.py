"""Training that survives a kill: seeds, checks that they suffice, whole checkpoints."""

from .checkpoint import AtomicCheckpointHook
from .epoch_seed import EpochSeedHook

__all__ = ['AtomicCheckpointHook', 'EpochSeedHook']
