"""What the search knows about milliseconds: measuring, the table, the cost."""

from .check import Verification, verify_latency
from .cost import LatencyCost
from .measure import LatencySettings, measure_latency, read_space

__all__ = [
    'LatencyCost',
    'LatencySettings',
    'Verification',
    'measure_latency',
    'read_space',
    'verify_latency',
]
