"""What the search knows about milliseconds: measuring, the table, the cost."""

from .check import Verification, plot_verification, verify_latency
from .cost import LatencyCost
from .measure import measure_latency
from .subjects import LatencySettings, read_space

__all__ = [
    'LatencyCost',
    'LatencySettings',
    'Verification',
    'measure_latency',
    'plot_verification',
    'read_space',
    'verify_latency',
]
