"""Checkpoints that are whole whenever a run is killed."""

from __future__ import annotations

import inspect
import os
import re
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import mmengine.runner
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from ...checks import (
    FLAG,
    NOTHING,
    PATH,
    TEXT,
    Rule,
    blaming,
    check_arguments,
    each,
    one_of,
    whole,
)
from ...io.files import part_name, remove_parts, write_atomically
from ...registry import register_hook
from ..storage import BACKEND, AtomicBackend

_VALIDATED = 'validated_epoch'
_OUTDATED = 'outdated_files'
_NEVER = one_of(-1)
_NAMES = NOTHING | TEXT | each(TEXT, least=1)
_WAY = one_of('greater', 'less')
_PATTERN = Rule("a text with one '{}'", lambda value: value.count('{}') == 1)


@register_hook
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook`` made safe against a kill at any moment.

    Takes the same arguments and makes the same files, and differs in four things:

    - Every file (``epoch_*``, ``best_*``, published ones, ``last_checkpoint``) is
      written under a temporary name in the same folder, synced and renamed, so that
      ``last_checkpoint`` always names a whole file.
    - Older files are deleted only after ``last_checkpoint`` names the newer one. The
      disk needs room for one checkpoint more than ``max_keep_ckpts``.
    - At the next start the temporary files of killed runs are removed, and the
      deletions that a kill prevented are made up for.
    - A run that was killed between a checkpoint and the end of the validation that was
      due then makes up for that validation when it resumes. MMEngine skips it, and
      with it ``best_*`` files and steps of schedulers that follow a metric.

    The priority is MMEngine's ``VERY_LOW`` (90): a hook that changes the model in
    ``after_train_epoch`` (an architecture search that shrinks it) is part of the
    checkpoint when its priority is higher, that is the number lower than 90. What such
    a hook must restore for validation belongs into ``before_run`` or
    ``after_load_checkpoint``: the validation made up for runs in ``before_train``.

    Args:
        interval: Epochs (iterations with ``by_epoch=False``) between checkpoints;
            -1 for never.
        **kwargs: The further arguments of MMEngine's hook, except ``backend_args`` and
            ``file_client_args``.

    Raises:
        ValueError: If an argument is unknown (MMEngine fails only at the first
            checkpoint), or names a storage of its own.
    """

    rules: ClassVar[dict[str, Rule]] = dict(
        interval=whole(1) | _NEVER,
        by_epoch=FLAG,
        save_optimizer=FLAG,
        save_param_scheduler=FLAG,
        out_dir=NOTHING | PATH,
        max_keep_ckpts=whole(1) | _NEVER,
        save_last=FLAG,
        save_best=_NAMES,
        rule=NOTHING | _WAY | each(_WAY, least=1),
        greater_keys=_NAMES,
        less_keys=_NAMES,
        filename_tmpl=NOTHING | _PATTERN,
        published_keys=_NAMES,
        save_begin=whole(0),
    )

    def __init__(self, interval: int = -1, **kwargs: Any) -> None:
        known = set(inspect.signature(CheckpointHook).parameters) - {'kwargs'}
        known -= {'backend_args', 'file_client_args'}
        unknown = sorted(name for name in kwargs if name not in known)
        for name in ('backend_args', 'file_client_args'):
            # Configs of MMPose spell the default out.
            if name in unknown and kwargs[name] in (None, dict(backend='local')):
                kwargs.pop(name)
                unknown.remove(name)
        if unknown:
            raise ValueError(
                f'AtomicCheckpointHook got {unknown} = '
                f'{[kwargs[name] for name in unknown]!r}; it takes {sorted(known)} and '
                'writes to local folders only'
            )
        owner = type(self).__name__
        check_arguments(owner, self.rules, dict(interval=interval, **kwargs).items())
        for name in ('save_best', 'published_keys'):
            names = kwargs.get(name)
            if isinstance(names, list | tuple) and len(set(names)) < len(names):
                raise ValueError(f'{owner}: {name} must differ, got {names}')
        best, ways = kwargs.get('save_best'), kwargs.get('rule')
        several = best if isinstance(best, list | tuple) else [best]
        count = len(several)
        if isinstance(ways, list | tuple) and len(ways) not in (1, count):
            raise ValueError(
                f'{owner}: rule must be one or as many as save_best {best}, got {ways}'
            )
        if count > 1 and 'auto' in several:
            raise ValueError(
                f"{owner}: save_best must be names of metrics or 'auto', got {best}"
            )
        for name in ('save_best', 'rule'):  # MMEngine knows lists only
            if isinstance(kwargs.get(name), tuple):
                kwargs[name] = list(kwargs[name])
        with blaming(f'{owner}: save_best and rule', (best, ways)):
            super().__init__(interval, backend_args=dict(backend=BACKEND), **kwargs)
        self._storage: AtomicBackend | None = None
        self._loaded_meta: Mapping[str, Any] = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember what the checkpoint says about deletions still to be made."""
        self._loaded_meta = checkpoint.get('meta', {})

    def before_train(self, runner: Runner) -> None:
        """Choose the folder, tidy up after killed runs, make up for a validation."""
        if not isinstance(runner, Runner):
            raise ValueError(
                f'AtomicCheckpointHook got a {type(runner).__name__}, which saves in '
                "ways of its own; it works with mmengine's Runner"
            )
        if '://' in str(self.out_dir or ''):
            raise ValueError(
                f'out_dir={self.out_dir!r} is not a local folder; AtomicCheckpointHook '
                'cannot promise whole files elsewhere'
            )
        super().before_train(runner)
        self._storage = self.file_backend
        if is_main_process():
            self._tidy_up(runner)
        if self._validation_missed(runner):
            runner.logger.info(
                f'The validation due after epoch {runner.epoch} is made up for: the '
                'run that wrote the checkpoint did not finish it'
            )
            runner.val_loop.run()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write into the file which files it outdates, in case of a kill."""
        if self._storage is not None:
            names = [os.path.basename(path) for path in self._storage.outdated]
            checkpoint['meta'][_OUTDATED] = names

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save the best checkpoints, then delete those they replace."""
        runner.message_hub.update_info(_VALIDATED, runner.epoch)
        super().after_val_epoch(runner, metrics)
        self._remove_outdated(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Save, then let ``last_checkpoint`` name it, then delete older ones."""
        if not is_main_process():
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        # MMEngine opens last_checkpoint for writing, which empties it: it gets a folder
        # of its own to do so.
        target = Path(runner.work_dir, 'last_checkpoint')
        folder = Path(part_name(target.with_name('last_checkpoint_draft')))
        folder.mkdir(exist_ok=True)
        try:
            elsewhere: Any = _WithWorkDir(runner, str(folder))
            super()._save_checkpoint_with_step(elsewhere, step, meta)
            write_atomically(target, (folder / target.name).read_bytes(), sync=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._remove_outdated(runner)

    def _publish_model(self, runner: Runner, ckpt_path: str) -> None:
        """Publish a checkpoint as a whole file."""
        # The one place where MMEngine's hook saves without asking for a backend.
        original = mmengine.runner.save_checkpoint
        mmengine.runner.save_checkpoint = partial(
            original, backend_args=self.backend_args
        )
        try:
            super()._publish_model(runner, ckpt_path)
        finally:
            mmengine.runner.save_checkpoint = original

    def _remove_outdated(self, runner: Runner) -> None:
        """Delete what is no longer needed, unless it has been written anew since."""
        if self._storage is None:
            return
        info = runner.message_hub.runtime_info
        used = [v for k, v in info.items() if k == 'last_ckpt' or 'best_ckpt' in k]
        steps = getattr(self, 'keep_ckpt_ids', ())
        used += [self.filename_tmpl.format(step) for step in steps]
        keep = {os.path.basename(path) for path in used if path}
        self._storage.remove_outdated(self.out_dir, keep)

    def _tidy_up(self, runner: Runner) -> None:
        """Remove what killed runs left in the folders of this one."""
        for folder in {self.out_dir, runner.work_dir}:
            if os.path.isdir(folder):
                for name in remove_parts(folder):
                    runner.logger.info(f'Removed {name}, half-written by a killed run')
        head, _, tail = self.filename_tmpl.partition('{}')
        own = re.compile(rf'(best_.+_)?{re.escape(head)}\d+{re.escape(tail)}')
        if self._storage is not None and runner.iter > 0:  # resumed
            for name in self._loaded_meta.get(_OUTDATED, ()):
                # The names come out of a file: nothing but checkpoints of this folder.
                if os.path.basename(name) == name and own.fullmatch(name):
                    self._storage.remove(os.path.join(self.out_dir, name))
        self._remove_outdated(runner)

    def _validation_missed(self, runner: Runner) -> bool:
        """Whether the run was killed between its checkpoint and a due validation."""
        loop = runner.train_loop
        if runner.val_loop is None or not isinstance(loop, EpochBasedTrainLoop):
            return False
        if loop.iter == 0 or loop.iter != loop.epoch * len(loop.dataloader):
            return False  # not resumed, or in the middle of an epoch
        loop._decide_current_val_interval()
        due = loop.epoch % loop.val_interval == 0 or loop.epoch == loop.max_epochs
        done = runner.message_hub.runtime_info.get(_VALIDATED)
        return due and loop.epoch >= loop.val_begin and done != loop.epoch


class _WithWorkDir:
    """A runner that names another folder for its files."""

    def __init__(self, runner: Runner, work_dir: str) -> None:
        self._runner = runner
        self.work_dir = work_dir

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)
