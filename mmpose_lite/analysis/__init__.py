"""What a network costs: parameters, multiply-accumulate operations, time."""

from .complexity import Complexity, complexity, count_macs
from .isolated import Isolated
from .timing import Spread, Timing, interleave, stopwatch, time_interleaved

__all__ = [
    'Complexity',
    'Isolated',
    'Spread',
    'Timing',
    'complexity',
    'count_macs',
    'interleave',
    'stopwatch',
    'time_interleaved',
]
