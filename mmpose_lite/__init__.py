"""Light and searched human-pose networks for MMPose 1.x.

Importing the package makes every model and hook known to MMPose's registries; it
prints, downloads and, by itself, imports nothing: neither torch nor MMPose. What MMPose
and torch need from here is done when they are imported (:mod:`mmpose_lite.compat`), and
models are imported when a registry is first asked for one. Where MMPose is absent, what
needs no MMPose can be used.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

if sys.version_info < (3, 10):  # noqa: UP036 (on a path, pip has not asked for it)
    raise ImportError(
        f'mmpose_lite needs Python 3.10 or newer, not {sys.version.split()[0]}'
    )

from . import compat
from .paths import config_path, register_config_scope

__version__ = '0.1.0'

_HOMES = {'get_model': '.loading', 'inferencer': '.inference', 'list_models': '.zoo'}
"""Public name to the module that holds it, imported when it is first asked for."""

__all__ = ['__version__', 'config_path', *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def _join_registries(execute: Callable[[], None]) -> None:
    """Let MMPose's registries import this package's classes with their own."""
    execute()
    from mmpose import registry

    for theirs, location in (
        (registry.MODELS, f'{__name__}.models'),
        (registry.MODELS, f'{__name__}.search'),
        (registry.KEYPOINT_CODECS, f'{__name__}.models.codecs'),
        (registry.HOOKS, f'{__name__}.training'),
    ):
        # What a registry has imported once it does not import again.
        if theirs._imported:
            import_module(location)
        elif location not in theirs._locations:
            theirs._locations.append(location)


def _register_loaders(execute: Callable[[], None]) -> None:
    """Teach mmengine's loader, once it is imported, our names and Paddle's files."""
    import_module('.weights', __name__).register_loaders(execute)


# Whoever imports the package through `custom_imports` has mmengine, and learns at once
# that a version does not fit; all others when they ask for a model.
if 'mmengine' in sys.modules:
    compat.check_versions()
compat.patch()
compat.when_imported('mmengine', register_config_scope)
compat.when_imported('mmengine.runner.checkpoint', _register_loaders)
compat.when_imported('mmpose.registry', _join_registries)
