"""The package's registry: a child of mmengine's, mirrored into MMPose's.

Every class is reachable as ``mmpose_lite.Name`` under any ``default_scope``: that
takes mmengine's root registry as parent, because a scoped name is only looked up in
trees that hold the scope. A name that MMPose does not use itself is also entered into
MMPose's own registry, so that ``type='XHRNet'`` works in an existing project.
"""

from __future__ import annotations

from typing import TypeVar

from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import Registry
from mmpose.registry import MODELS as MMPOSE_MODELS

SCOPE = 'mmpose_lite'

T = TypeVar('T', bound=type)

# A second import of the package (after its modules were dropped) finds its child there.
MODELS: Registry = MMENGINE_MODELS.children.get(SCOPE) or Registry(
    'model', parent=MMENGINE_MODELS, scope=SCOPE, locations=['mmpose_lite.models']
)


def register_model(cls: T) -> T:
    """Class decorator: ``mmpose_lite.Name`` always, ``Name`` in MMPose where free.

    Args:
        cls: The module class to register.

    Returns:
        The same class.
    """
    MODELS.register_module(module=cls, force=True)
    holder = MMPOSE_MODELS.module_dict.get(cls.__name__)
    if holder is None or holder.__module__.partition('.')[0] == SCOPE:
        MMPOSE_MODELS.register_module(module=cls, force=True)
    return cls
