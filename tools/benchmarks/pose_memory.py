"""What a process holds in memory."""

from __future__ import annotations

import ctypes
import gc
import re
from pathlib import Path

import torch


class Memory:
    """What a process holds more than when this object was made.

    On a CPU it is resident memory as Linux counts it; on a GPU what torch allocates.
    """

    def __init__(self, device: str = 'cpu') -> None:
        self.device = device
        self.base = 0.0 if device == 'cuda' else _status('VmRSS')

    def reset(self) -> Memory:
        """Give free memory back and forget the peak so far."""
        gc.collect()
        if self.device == 'cuda':
            torch.cuda.reset_peak_memory_stats()
        elif self.base is not None:
            trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
            if trim is not None:
                trim(0)
            Path('/proc/self/clear_refs').write_text('5')
        return self

    def peak(self) -> float | None:
        """Largest amount since the reset in units of 10^6 bytes; None if unknown."""
        if self.device == 'cuda':
            return torch.cuda.max_memory_allocated() / 1e6
        peak = _status('VmHWM')
        return None if peak is None or self.base is None else peak - self.base


def _status(key: str) -> float | None:
    """A line of /proc/self/status in units of 10^6 bytes; None without the file."""
    path = Path('/proc/self/status')
    if not path.is_file():
        return None
    found = re.search(rf'^{key}:\s+(\d+) kB', path.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else None
