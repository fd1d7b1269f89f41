"""What happens between the last step of an epoch and its validation, in order."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner


def end_of_epoch(runner: Runner) -> None:
    """Cut the network that is searched, measure its statistics, save the result.

    Each line is done by the hooks that are in the config, whatever their priorities,
    and by nobody if there are none.
    """
    steps = [hook for hook in runner.hooks if isinstance(hook, EpochEndHook)]
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
        steps = [hook for hook in runner.hooks if isinstance(hook, EpochEndHook)]
        if self is steps[-1]:
            end_of_epoch(runner)

    def shrink(self, runner: Runner) -> None:
        """Remove parts of the network."""

    def recalibrate(self, runner: Runner) -> None:
        """Measure the statistics of batch norms."""

    def save(self, runner: Runner) -> None:
        """Write a checkpoint."""
