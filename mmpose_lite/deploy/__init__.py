"""From a trained network to one that runs fast: optimized, exported, compiled, run.

What needs torch or MMPose is imported when it is first asked for, so that exported
files can be run where neither is installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..renamed import find_renamed

_HOMES = {
    'BACKENDS': '.backends',
    'CHANNEL_LAYOUTS': '.passes',
    'Comparison': '.evaluation',
    'Contract': '.runtime',
    'EstimatorGraph': '.estimator',
    'Exported': '.exporting',
    'Gain': '.passes',
    'NativeNetwork': '.native.running',
    'PoseRuntime': '.runtime',
    'TARGETS': '.passes',
    'compare': '.evaluation',
    'compile_network': '.native.compiler',
    'export': '.exporting',
    'gains': '.passes',
    'list_passes': '.passes',
    'open_engine': '.runtime',
    'optimize': '.passes',
    'relative_difference': '.parity',
    'to_onnx': '.onnx',
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        return find_renamed(__name__, name)
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
