"""What happens between the last step of an epoch and its validation, and to whom."""

from __future__ import annotations

from mmengine.hooks import EMAHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.model.averaged_model import BaseAveragedModel
from mmengine.runner import Runner
from torch import nn


def live_model(runner: Runner) -> nn.Module:
    """The model that is trained, without what is wrapped around it."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def averaged_model(runner: Runner) -> BaseAveragedModel | None:
    """The averaged copy that an ``EMAHook`` keeps, if there is one."""
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            return getattr(hook, 'ema_model', None)
    return None


def epoch_end_hooks(runner: Runner) -> list[EpochEndHook]:
    """The hooks that have a part in :func:`end_of_epoch`."""
    return [hook for hook in runner.hooks if isinstance(hook, EpochEndHook)]


def end_of_epoch(runner: Runner) -> None:
    """Cut the network that is searched, measure its statistics, save the result.

    Each line is done by the hooks that are in the config, whatever their priorities,
    and by nobody if there are none.
    """
    steps = epoch_end_hooks(runner)
    for step in steps:
        step.shrink(runner)
    for step in steps:
        step.recalibrate(runner)
    for step in steps:
        step.save(runner)


class EpochEndHook(Hook):
    """A hook with a part in :func:`end_of_epoch`: one of its methods does something."""

    def after_train_epoch(self, runner: Runner) -> None:
        """Run the end of the epoch, once: the last of these hooks does so for all."""
        if self is epoch_end_hooks(runner)[-1]:
            end_of_epoch(runner)

    def shrink(self, runner: Runner) -> None:
        """Remove parts of the network."""

    def recalibrate(self, runner: Runner) -> None:
        """Measure the statistics of batch norms."""

    def save(self, runner: Runner) -> None:
        """Write a checkpoint."""
