"""What keeps a resumed run from equalling an undisturbed one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from .checkpoint import AtomicCheckpointHook
from .seeding import SeededLoader


def run_problems(runner: Runner, train: SeededLoader) -> Iterator[str]:
    """What in a run's set-up cannot be made repeatable.

    Args:
        runner: The run, about to train.
        train: Its training data.

    Yields:
        Sentences for the user: what is in the way and what to do instead.
    """
    if not train.order_is_repeatable():
        sampler = train.loader.batch_sampler, train.loader.sampler
        names = ' over '.join(type(part).__name__ for part in sampler)
        yield (
            f"the order of train_dataloader's samples ({names}) depends on the epochs "
            'before; use mmengine.DefaultSampler'
        )
    for place in train.own_generators():
        yield (
            f'train_dataloader.{place} is a random generator of its own, which cannot '
            'be seeded from outside; use transforms that draw from the global '
            'generators of Python, NumPy or torch'
        )
    steps = len(train.loader)
    wrappers = runner.optim_wrapper
    wrappers = (
        wrappers.values() if isinstance(wrappers, OptimWrapperDict) else [wrappers]
    )
    for wrapper in wrappers:
        count = wrapper._accumulative_counts
        if steps % count:
            yield (
                f'accumulative_counts={count} does not divide the {steps} steps of an '
                'epoch: gradients of its last steps are in no checkpoint'
            )
    yield from _hook_problems(runner)


def _hook_problems(runner: Runner) -> Iterator[str]:
    """What the other hooks do that a checkpoint does not hold."""
    for hook in runner.hooks:
        if isinstance(hook, EarlyStoppingHook):
            yield (
                'EarlyStoppingHook counts the epochs without progress outside of '
                'checkpoints; a resumed run stops at another epoch'
            )
        if isinstance(hook, CheckpointHook):
            given = dict(
                by_epoch=hook.by_epoch,
                save_optimizer=hook.save_optimizer,
                save_param_scheduler=hook.save_param_scheduler
                or runner.param_schedulers is None,
            )
            for name in (name for name, value in given.items() if not value):
                yield f'{type(hook).__name__} has {name}=False; set it to True'
    if not any(isinstance(hook, AtomicCheckpointHook) for hook in runner.hooks):
        schedulers = runner.param_schedulers or []
        if isinstance(schedulers, dict):
            schedulers = [part for parts in schedulers.values() for part in parts]
        for scheduler in schedulers:
            if getattr(scheduler, 'need_val_args', False):
                yield (
                    f'{type(scheduler).__name__} steps after a validation, which a '
                    'kill may cut off; use mmpose_lite.AtomicCheckpointHook, which '
                    'makes up for it'
                )


def resume_problems(
    runner: Runner, train: SeededLoader, checkpoint: Mapping[str, Any]
) -> Iterator[str]:
    """What in the checkpoint that a run resumed from is not as it was.

    Args:
        runner: The run, resumed and about to train.
        train: Its training data.
        checkpoint: ``has_optimizer`` and, if the run that wrote it had the hook,
            ``world_size``.

    Yields:
        Sentences for the user.
    """
    if not checkpoint['has_optimizer']:
        yield (
            'the checkpoint holds no optimizer state (best_* files never do); resume '
            'from the file that last_checkpoint names'
        )
    steps = len(train.loader)
    if runner.iter != runner.epoch * steps:
        yield (
            f'the checkpoint is of iteration {runner.iter} and epoch {runner.epoch}, '
            f'but an epoch has {steps} steps: it was written in the middle of an '
            'epoch, or the data, the batch size or the number of processes changed'
        )
    if checkpoint.get('world_size', get_world_size()) != get_world_size():
        yield (
            f'the run had {checkpoint["world_size"]} processes and now has '
            f'{get_world_size()}'
        )
