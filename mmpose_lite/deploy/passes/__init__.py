"""Exact passes over a network: the same outputs from fewer operators and bytes.

Each takes a network in eval mode, changes it in place and returns it, or what replaces
it; :func:`optimize` runs all that a target takes, on a copy.
"""

from .pipeline import TARGETS, Gain, gains, list_passes, optimize
from .shuffle_removal import CHANNEL_LAYOUTS

__all__ = ['CHANNEL_LAYOUTS', 'TARGETS', 'Gain', 'gains', 'list_passes', 'optimize']
