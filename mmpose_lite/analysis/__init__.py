"""What a network costs: parameters, multiply-accumulate operations, time."""

from .complexity import Complexity, complexity, count_macs
from .timing import Spread, Timing, time_interleaved

__all__ = [
    'Complexity',
    'Spread',
    'Timing',
    'complexity',
    'count_macs',
    'time_interleaved',
]
