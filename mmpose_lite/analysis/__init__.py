"""What a network costs: parameters, multiply-accumulate operations, time."""

from .complexity import Complexity, complexity, count_macs
from .isolated import Isolated
from .timing import Spread, Timing, interleave, stopwatch, time_interleaved
from .traffic import Traffic, count_traffic

__all__ = [
    'Complexity',
    'Isolated',
    'Spread',
    'Timing',
    'Traffic',
    'complexity',
    'count_macs',
    'count_traffic',
    'interleave',
    'stopwatch',
    'time_interleaved',
]
