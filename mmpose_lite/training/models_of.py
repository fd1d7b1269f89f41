"""The models that a Runner holds, without what is wrapped around them."""

from __future__ import annotations

from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.model.averaged_model import BaseAveragedModel
from mmengine.runner import Runner
from torch import nn

from ..search import SearchablePoseEstimator


def live_model(runner: Runner) -> nn.Module:
    """The model that is trained."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def searched_model(runner: Runner) -> SearchablePoseEstimator:
    """The model that is trained, which must be one that is searched.

    Raises:
        ValueError: If it is no :class:`SearchablePoseEstimator` with a ``resource``.
    """
    model = live_model(runner)
    if not isinstance(model, SearchablePoseEstimator) or not model.is_search:
        raise ValueError(
            'model.type must be SearchablePoseEstimator, with a resource, for a '
            f'search, got {type(model).__name__}'
        )
    return model


def averaged_model(runner: Runner) -> BaseAveragedModel | None:
    """The averaged copy that an ``EMAHook`` keeps, if there is one."""
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            return getattr(hook, 'ema_model', None)
    return None
