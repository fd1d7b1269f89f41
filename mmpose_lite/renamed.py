"""Public names of before: each still works, and warns of what it is called now."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

FORMER = {
    'mmpose_lite.deploy.LAYOUTS': 'mmpose_lite.deploy.CHANNEL_LAYOUTS',
    'mmpose_lite.deploy.rewrites': 'mmpose_lite.deploy.list_passes',
}
"""Former to present name; ``mmpose_lite.datasets`` is all of ``mmpose_lite.data``."""


def find_renamed(module: str, name: str) -> Any:
    """What a module's attribute is called now, for its ``__getattr__``.

    Raises:
        AttributeError: If it has never had that name.
    """
    former = f'{module}.{name}'
    present = FORMER.get(former, '')
    if module == 'mmpose_lite.datasets' and not name.startswith('_'):
        present = f'mmpose_lite.data.{name}'
    home, _, found = present.rpartition('.')
    if not home:
        raise AttributeError(f'module {module!r} has no attribute {name!r}')
    value = getattr(import_module(home), found)
    warnings.warn(f'{former} is {present} now', DeprecationWarning, stacklevel=3)
    return value
