"""From a trained network to one that runs fast: rewriting, export, running.

What needs torch or MMPose is imported when it is first asked for, so that exported
files can be run where neither is installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    'Contract': '.runtime',
    'EstimatorGraph': '.onnx_export',
    'Exported': '.exporting',
    'Gain': '.passes',
    'LAYOUTS': '.passes',
    'PoseRuntime': '.runtime',
    'Request': '.exporting',
    'TARGETS': '.passes',
    'export': '.exporting',
    'gains': '.passes',
    'optimize': '.passes',
    'rewrites': '.passes',
    'to_onnx': '.onnx_export',
}
"""Public name to the module that holds it."""

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
