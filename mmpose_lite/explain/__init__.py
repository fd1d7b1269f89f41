"""What a model looked at, as pictures: gates, attention, pruning, architecture."""

from importlib import import_module
from typing import Any

_HOMES = {
    'draw_architecture': 'architecture',
    'draw_explanation': 'figure',
    'draw_pose_grid': 'grid',
    'explain': 'family',
    'families': 'family',
    'predict_posed_images': 'grid',
    'recorded': 'record',
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    # Drawing needs matplotlib, explaining MMPose, recording neither.
    if name in _HOMES:
        return getattr(import_module(f'.{_HOMES[name]}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
