"""The package's registries: children of mmengine's, mirrored into MMPose's.

Every class is reachable as ``mmpose_lite.Name`` under any ``default_scope``: that
takes mmengine's root registry as parent, because a scoped name is only looked up in
trees that hold the scope. A name that MMPose does not use itself is also entered into
MMPose's own registry, so that ``type='XHRNet'`` works in an existing project.
"""

from __future__ import annotations

from typing import TypeVar

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import Registry
from mmpose.registry import HOOKS as MMPOSE_HOOKS
from mmpose.registry import MODELS as MMPOSE_MODELS

from .compat import check_versions

check_versions()

SCOPE = 'mmpose_lite'

T = TypeVar('T', bound=type)


def _child(name: str, parent: Registry, *locations: str) -> Registry:
    """The package's child of a root registry; a second import finds it there."""
    return parent.children.get(SCOPE) or Registry(
        name, parent=parent, scope=SCOPE, locations=list(locations)
    )


MODELS: Registry = _child(
    'model', MMENGINE_MODELS, 'mmpose_lite.models', 'mmpose_lite.search'
)
HOOKS: Registry = _child('hook', MMENGINE_HOOKS, 'mmpose_lite.training')
DATASETS: Registry = _child('dataset', MMENGINE_DATASETS, 'mmpose_lite.training')


def _register(cls: T, own: Registry, theirs: Registry) -> T:
    """Enter a class into ``own``, and into ``theirs`` where its name is free."""
    own.register_module(module=cls, force=True)
    holder = theirs.module_dict.get(cls.__name__)
    if holder is None or holder.__module__.partition('.')[0] == SCOPE:
        theirs.register_module(module=cls, force=True)
    return cls


def register_model(cls: T) -> T:
    """Class decorator: ``mmpose_lite.Name`` always, ``Name`` in MMPose where free."""
    return _register(cls, MODELS, MMPOSE_MODELS)


def register_hook(cls: T) -> T:
    """Class decorator for hooks of the Runner; names as with :func:`register_model`."""
    return _register(cls, HOOKS, MMPOSE_HOOKS)
