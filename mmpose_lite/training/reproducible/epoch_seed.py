"""Training whose every epoch begins from a known random state."""

from __future__ import annotations

from typing import Any

from mmengine.dist import broadcast_object_list, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from ...checks import checked
from ...registry import register_hook
from .checks import resume_problems, run_problems
from .seeding import STEPS, SeededLoader, seed_all

_META = 'epoch_seed'


@register_hook
class EpochSeedHook(Hook):
    """Random numbers that follow from (seed, epoch, rank) alone.

    A run that was killed and resumed at its last saved epoch then ends with the weights
    of one that was not: bitwise on a CPU with one thread.

    - Python, NumPy and torch (with CUDA) are seeded from (seed, epoch, rank) at the
      start of every epoch and again before its first step.
    - Every sample is loaded under a seed of (seed, epoch, index), also in persistent
      workers; so their number does not matter either.
    - The seed is ``randomness.seed`` of the config. Where that is None, MMEngine draws
      one; it is logged. The seed and that of the sampler travel in the checkpoint
      (``meta['epoch_seed']``), and a resumed run goes on with them.

    What cannot be had is refused before the first step: ``IterBasedTrainLoop``, data
    sets without indices, samplers whose order depends on earlier epochs
    (``InfiniteSampler``, ``MultiSourceSampler``), transforms with a generator of their
    own, gradients accumulated across epochs, ``EarlyStoppingHook``, checkpoints that
    lack state or lie within an epoch, another number of processes.

    The priority is the highest, so that other hooks' ``before_train_epoch`` already
    draws from the epoch's stream. What they draw there does not shift the steps'.

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
        found = list(run_problems(runner, self._train))
        if loaded:
            found += resume_problems(runner, self._train, loaded)
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
        """Raise, or warn of, everything that is in the way."""
        if not found:
            return
        if self.strict:
            listed = '; '.join(f'({i}) {text}' for i, text in enumerate(found, 1))
            raise ValueError(
                'EpochSeedHook cannot promise that a resumed run equals an undisturbed '
                f'one: {listed}. EpochSeedHook(strict=False) trains nevertheless'
            )
        for text in found:
            runner.logger.warning(f'A resumed run will not equal this one: {text}')

    def _say(self, runner: Runner, loaded: dict[str, Any]) -> None:
        """Log the seed and where it came from."""
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
