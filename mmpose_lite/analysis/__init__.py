"""What a network costs: parameters and multiply-accumulate operations."""

from .complexity import Complexity, complexity

__all__ = ['Complexity', 'complexity']
