"""Training whose every epoch begins from a known random state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.dist import broadcast_object_list, get_rank, get_world_size
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner

from ...checks import checked
from ...registry import register_hook
from .checkpoint import AtomicCheckpointHook
from .seeding import STEPS, SeededLoader, seed_all

_META = 'epoch_seed'


@register_hook
class EpochSeedHook(Hook):
    """Random numbers that follow from (seed, epoch, rank) alone.

    A run that was killed and resumed at its last saved epoch then ends with the weights
    of one that was not: bitwise on a CPU with one thread. Python, NumPy and torch are
    seeded at the start of every epoch and again before its first step, so that what
    other hooks draw in between does not shift the steps' numbers; every sample is
    loaded under a seed of (seed, epoch, index).

    The seed is ``randomness.seed`` of the config. Where that is None, MMEngine draws
    one; it is logged. The seed and that of the sampler travel in the checkpoint
    (``meta['epoch_seed']``), and a resumed run goes on with them.

    What cannot be had is refused before the first step;
    ``docs/reproducible_training.md`` lists it.

    Args:
        strict: Refuse; with False the same sentences are warnings in the log. A loop or
            loader that cannot be steered at all is refused in any case.

    Raises:
        ValueError: Before training, if something cannot be had (the message lists all).
    """

    priority = 'HIGHEST'

    @checked()
    def __init__(self, strict: bool = True) -> None:
        self.strict = strict
        self.seed: int | None = None
        self._loaded: dict[str, Any] = {}
        self._train: SeededLoader | None = None
        self._val: SeededLoader | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep what a resume needs to know."""
        stored = checkpoint.get('meta', {}).get(_META, {})
        self._loaded = {**stored, 'has_optimizer': 'optimizer' in checkpoint}

    def before_train(self, runner: Runner) -> None:
        """Take hold of the loaders; refuse what cannot be repeated."""
        loop = runner.train_loop
        if not isinstance(loop, EpochBasedTrainLoop):
            raise ValueError(
                f'train_cfg makes a {type(loop).__name__}, but EpochSeedHook seeds '
                'epochs: it needs an EpochBasedTrainLoop (train_cfg=dict(by_epoch=True,'
                ' max_epochs=...))'
            )
        loaded = self._loaded if runner.iter > 0 else {}
        self.seed = int(loaded.get('seed', _seed_of_main_process(runner)))
        self._train = SeededLoader(loop.dataloader, self.seed, 'train_dataloader')
        if runner.val_loop is not None:
            loader = runner.val_loop.dataloader
            self._val = SeededLoader(loader, self.seed, 'val_dataloader')
        # Hooks may measure on training data during a validation that is made up for.
        self._train.begin(max(runner.epoch - 1, 0))
        sampler = self._train.sampler
        if loaded.get('sampler_seed') is not None and sampler is not None:
            sampler.seed = loaded['sampler_seed']
        found = list(_run_problems(runner, self._train))
        if loaded:
            found += _resume_problems(runner, self._train, loaded)
        self._refuse(runner, found)
        self._say(runner, loaded)

    def before_train_epoch(self, runner: Runner) -> None:
        """Begin the epoch's random streams."""
        if self._train is not None:
            self._train.begin(runner.epoch)
            self._seed_steps(runner)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Begin the steps' stream anew, whatever starting the loader has drawn."""
        if batch_idx == 0:
            self._seed_steps(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Make validation repeatable too: schedulers and best files follow from it."""
        if self._val is not None:
            self._val.begin(runner.epoch)
            self._seed_steps(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store the seeds that a resumed run goes on with."""
        if self._train is not None:
            checkpoint['meta'][_META] = dict(
                seed=self.seed,
                sampler_seed=getattr(self._train.sampler, 'seed', None),
                world_size=get_world_size(),
            )

    def _seed_steps(self, runner: Runner) -> None:
        seed_all(self.seed or 0, STEPS, runner.epoch, get_rank())

    def _refuse(self, runner: Runner, found: list[str]) -> None:
        if found and self.strict:
            listed = '; '.join(f'({i}) {text}' for i, text in enumerate(found, 1))
            raise ValueError(
                'EpochSeedHook cannot promise that a resumed run equals an undisturbed '
                f'one: {listed}. EpochSeedHook(strict=False) trains nevertheless'
            )
        for text in found:
            runner.logger.warning(f'A resumed run will not equal this one: {text}')

    def _say(self, runner: Runner, loaded: dict[str, Any]) -> None:
        if 'seed' in loaded:
            origin = 'stored in the checkpoint'
        elif loaded:
            origin = (
                'not stored by this hook: the epochs before the checkpoint were '
                'trained without it and cannot be repeated'
            )
        elif runner._randomness_cfg.get('seed') is None:
            origin = 'drawn at random; repeat the run with randomness=dict(seed=...)'
        else:
            origin = 'from randomness.seed'
        runner.logger.info(f'Every epoch is seeded from {self.seed} ({origin})')


def _seed_of_main_process(runner: Runner) -> int:
    """The run's seed, equal in all processes (``diff_rank_seed`` makes them differ)."""
    seeds = [runner.seed]
    broadcast_object_list(seeds)
    return seeds[0]


def _run_problems(runner: Runner, train: SeededLoader) -> Iterator[str]:
    """What in a run's set-up cannot be made repeatable, and what to do instead."""
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
    steps, wrapper = len(train.loader), runner.optim_wrapper
    several = isinstance(wrapper, OptimWrapperDict)
    for part in wrapper.values() if several else [wrapper]:
        if steps % part._accumulative_counts:
            yield (
                f'accumulative_counts={part._accumulative_counts} does not divide the '
                f'{steps} steps of an epoch: gradients of its last steps are in no '
                'checkpoint'
            )
    for hook in runner.hooks:
        if isinstance(hook, EarlyStoppingHook):
            yield (
                'EarlyStoppingHook counts the epochs without progress outside of '
                'checkpoints; a resumed run stops at another epoch'
            )
        if isinstance(hook, CheckpointHook):
            for name in ('by_epoch', 'save_optimizer', 'save_param_scheduler'):
                needed = name != 'save_param_scheduler' or runner.param_schedulers
                if needed and not getattr(hook, name):
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


def _resume_problems(
    runner: Runner, train: SeededLoader, checkpoint: Mapping[str, Any]
) -> Iterator[str]:
    """What in the checkpoint that a run resumed from is not as it was."""
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
    before = checkpoint.get('world_size', get_world_size())
    if before != get_world_size():
        yield f'the run had {before} processes and now has {get_world_size()}'
