"""Heads; they are MMPose heads like any other."""

from .tokenpose_head import TokenPoseHead

__all__ = ['TokenPoseHead']
