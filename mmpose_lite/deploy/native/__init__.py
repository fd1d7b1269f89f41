"""Networks compiled ahead of time to one library each, without any engine.

An engine's cost per operator, its reordering of maps and its copies weigh more than
the arithmetic of a light network. Here a network becomes a list of calls in C++ on maps
with channels last: views instead of copies, sums and gates within the convolutions, and
one arena for all maps.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {'NativeNetwork': '.running', 'compile_network': '.compiler'}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_HOMES[name], __name__), name)
