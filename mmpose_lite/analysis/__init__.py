"""What a network costs: parameters, multiply-accumulate operations, time."""

from .complexity import Complexity, complexity, count_macs, count_macs_once
from .memory_traffic import Traffic, count_traffic
from .timing import (
    Spread,
    Timing,
    cpu_model,
    describe_machine,
    interleave,
    stopwatch,
    time_interleaved,
)
from .workers import Isolated

__all__ = [
    'Complexity', 'Isolated', 'Spread', 'Timing', 'Traffic', 'complexity', 'count_macs',
    'count_macs_once', 'count_traffic', 'cpu_model', 'describe_machine', 'interleave',
    'stopwatch', 'time_interleaved',
]  # fmt: skip
