"""Random numbers as a function of how far a run is, not of how it came there.

A resumed run has another history than an undisturbed one: its data loader's workers are
younger, its global generators have drawn other numbers. So the generators are seeded
again wherever a run can begin: at every epoch in the main process, and at every sample
where data is loaded. The latter also makes the number of workers immaterial.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.dist import broadcast_object_list, get_rank, get_world_size
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ...checks import checked
from ...registry import register_hook
from .checkpoint import AtomicCheckpointHook

_META = 'epoch_seed'
STEPS, SAMPLES, LOADER = range(3)
"""What a stream of random numbers is for: the model's steps, data, the loader."""

_GENERATORS = (
    random.Random,
    np.random.Generator,
    np.random.RandomState,
    torch.Generator,
)
_GLOBAL = (random._inst, np.random.mtrand._rand, torch.default_generator)
_LEAVES = (str, bytes, int, float, complex, type, np.ndarray, torch.Tensor)
# Attributes of datasets that hold annotations: large, and data only.
_ANNOTATIONS = ('data_list', 'data_bytes', 'data_address', '_metainfo')


def seed_all(*key: int, devices: bool = True) -> None:
    """Seed Python, NumPy and torch; every key of integers is an independent stream.

    With ``devices`` torch's generators of CUDA and other accelerators are seeded too.
    """
    words = np.random.SeedSequence(key).generate_state(8)
    random.seed(words[:2].tobytes())
    np.random.seed(words[2:6])
    number = int(words[6]) << 32 | int(words[7])
    (torch.manual_seed if devices else torch.default_generator.manual_seed)(number)


class SeededFetch:
    """A data set's samples, each loaded with a random stream of its own.

    torch's data loader calls ``dataset.__getitems__`` where there is one, in the worker
    that loads the batch; an instance of this class takes that place.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        # In memory that persistent workers share, as they begin only once.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Let every process that loads data know the epoch; none may be loading."""
        self._epoch.fill_(epoch)

    def __call__(self, indices: Sequence[int]) -> list[Any]:
        """The samples at some places in the data set.

        Without workers the generators are left as they were found: the model draws from
        them too.
        """
        if get_worker_info() is not None:
            return [self._load(index) for index in indices]
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        try:
            return [self._load(index) for index in indices]
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])

    def _load(self, index: int) -> Any:
        place = operator.index(index)
        seed_all(self.seed, SAMPLES, int(self._epoch), place, devices=False)
        return self.dataset[index]


class SeededLoader:
    """A data loader whose every random number follows from (seed, epoch).

    The samples follow from (seed, epoch, index): neither the number of workers nor that
    of processes plays a part. The loader, torch's in batches of a map-style data set,
    is changed.

    Raises:
        ValueError: If the loader, called ``name``, cannot be steered so.
    """

    def __init__(self, loader: DataLoader, seed: int, name: str) -> None:
        dataset: Any = loader.dataset
        if isinstance(dataset, IterableDataset) or loader.batch_sampler is None:
            raise ValueError(
                f'{name} has batch_size={loader.batch_size} and a data set of type '
                f'{type(dataset).__name__}; only batches of a data set with indices '
                'can be seeded'
            )
        self.loader = loader
        self.seed = seed
        # Two loaders may share a data set.
        fetch = getattr(dataset, '__getitems__', None)
        if not isinstance(fetch, SeededFetch) or fetch.seed != seed:
            fetch = dataset.__getitems__ = SeededFetch(dataset, seed)
        self._fetch = fetch
        # torch draws a number from here whenever it starts workers, which a resumed run
        # does at another epoch: it must not come from the model's stream.
        loader.generator = torch.Generator()

    def begin(self, epoch: int) -> None:
        """Prepare an epoch; to be called before the loader is iterated."""
        self._fetch.set_epoch(epoch)
        self.loader.generator.manual_seed(self.seed + epoch)

    @property
    def sampler(self) -> Any:
        """What decides the order and holds a ``seed``, or None."""
        batches = self.loader.batch_sampler
        holders = self.loader.sampler, getattr(batches, 'sampler', None), batches
        seeded = (h for h in holders if isinstance(getattr(h, 'seed', None), int))
        return next(seeded, None)

    def order_is_repeatable(self) -> bool:
        """Whether the same epoch has the same order when it is begun twice."""
        batches: Any = self.loader.batch_sampler
        orders = []
        for _ in range(2):
            seed_all(self.seed, LOADER)
            orders.append(list(islice(iter(batches), len(batches))))
        return orders[0] == orders[1]

    def own_generators(self) -> list[str]:
        """Where the data set keeps random generators that nobody seeds again."""
        return list(_find_generators(self.loader.dataset, 'dataset', set()))


def _find_generators(value: Any, path: str, seen: set[int]) -> Iterator[str]:
    if isinstance(value, (*_LEAVES, SeededFetch)) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, _GENERATORS):
        if not any(value is known for known in _GLOBAL):
            yield path
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _find_generators(child, f'{path}[{key!r}]', seen)
    elif isinstance(value, (list, tuple)):
        for place, child in enumerate(value):
            yield from _find_generators(child, f'{path}[{place}]', seen)
    else:
        for name, child in getattr(value, '__dict__', {}).items():
            if name not in _ANNOTATIONS:
                yield from _find_generators(child, f'{path}.{name}', seen)


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
