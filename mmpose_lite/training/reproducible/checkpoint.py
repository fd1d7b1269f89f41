"""Checkpoints that are whole whenever a run is killed."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from collections.abc import Collection, Mapping
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, Runner, save_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from ...checks import (
    FLAG,
    NOTHING,
    PATH,
    TEXT,
    Rule,
    blaming,
    checked,
    each,
    one_of,
    whole,
)
from ...io.files import remove_parts, write_atomically
from ...registry import register_hook
from ..epoch_end import EpochEndHook

BACKEND = 'mmpose_lite.atomic'
_VALIDATED = 'validated_epoch'
_OUTDATED = 'outdated_files'
_COUNT = whole(1) | one_of(-1)
_NAMES = NOTHING | TEXT | each(TEXT, least=1)
_WAY = one_of('greater', 'less')
_PATTERN = Rule("a text with one '{}'", lambda value: value.count('{}') == 1)
_LOCAL = Rule(
    "None or dict(backend='local'), as whole files are only promised in local folders",
    lambda value: value in (None, dict(backend='local')),
)


@register_backend(BACKEND, force=True)
class AtomicBackend(LocalBackend):
    """Local files that appear whole, and disappear only when one says so.

    ``backend_args=dict(backend='mmpose_lite.atomic')`` is how mmengine takes it.
    """

    def __init__(self) -> None:
        self.outdated: list[str] = []

    def put(self, obj: bytes, filepath: str | os.PathLike[str]) -> None:
        """Write a file under a temporary name, sync it, rename it, sync the folder.

        Raises:
            OSError: If it cannot be written (a full disk, for example); what was there
                before is untouched.
        """
        path = os.fspath(filepath)
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        try:
            write_atomically(path, obj, sync=True)
        except OSError as error:
            raise OSError(
                error.errno,
                f'{error.strerror}: {len(obj) / 1e6:.1f} MB could not be written, '
                'older files are untouched',
                path,
            ) from error

    def remove(self, filepath: str | os.PathLike[str]) -> None:
        """Note a file for :meth:`remove_outdated`."""
        self.outdated.append(os.fspath(filepath))

    def remove_outdated(
        self, folder: str | os.PathLike[str], keep: Collection[str]
    ) -> None:
        """Remove the noted files that are still there, but for names in ``keep``.

        Only what lies in ``folder`` is: a checkpoint names files by path, and a run
        that goes on in a copied folder would remove the original's.
        """
        for path in self.outdated:
            parent, name = os.path.split(path)
            if name in keep or not os.path.isfile(path):
                continue
            if os.path.samefile(parent or '.', folder):
                os.unlink(path)
        self.outdated = []


@register_hook
class AtomicCheckpointHook(EpochEndHook, CheckpointHook):
    """MMEngine's ``CheckpointHook`` made safe against a kill at any moment.

    Takes the same arguments and makes the same files, and differs in four things:

    - Every file is written beside, synced and renamed: ``last_checkpoint`` always names
      a whole one.
    - Older files are deleted only after ``last_checkpoint`` names the newer one. The
      disk needs room for one checkpoint more than ``max_keep_ckpts``.
    - At the next start the temporary files of killed runs are removed, and the
      deletions that a kill prevented are made up for.
    - A validation that was due and that a kill cut off is made up for in the
      ``before_train`` of the resumed run. MMEngine skips it, and with it ``best_*``
      files and steps of schedulers that follow a metric.

    ``docs/reproducible_training.md`` says what hooks of other packages must heed.

    Args:
        interval: Epochs (iterations with ``by_epoch=False``) between checkpoints;
            -1 for never.
        **kwargs: The further arguments of MMEngine's hook; ``backend_args`` and
            ``file_client_args`` may only name local files.
    """

    @checked(
        interval=_COUNT,
        by_epoch=FLAG,
        save_optimizer=FLAG,
        save_param_scheduler=FLAG,
        out_dir=NOTHING | PATH,
        max_keep_ckpts=_COUNT,
        save_last=FLAG,
        save_best=_NAMES,
        rule=NOTHING | _WAY | each(_WAY, least=1),
        greater_keys=_NAMES,
        less_keys=_NAMES,
        file_client_args=_LOCAL,
        filename_tmpl=NOTHING | _PATTERN,
        backend_args=_LOCAL,
        published_keys=_NAMES,
        save_begin=whole(0),
    )
    def __init__(self, interval: int = -1, **kwargs: Any) -> None:
        for name in ('backend_args', 'file_client_args'):
            kwargs.pop(name, None)
        for name in ('save_best', 'rule'):  # MMEngine knows lists only
            if isinstance(kwargs.get(name), tuple):
                kwargs[name] = list(kwargs[name])
        with blaming(f'{type(self).__name__}: {", ".join(kwargs)}', kwargs):
            super().__init__(interval, backend_args=dict(backend=BACKEND), **kwargs)
        self._storage = AtomicBackend()
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
        names = [os.path.basename(path) for path in self._storage.outdated]
        checkpoint['meta'][_OUTDATED] = names

    def save(self, runner: Runner) -> None:
        """Save, if it is time."""
        CheckpointHook.after_train_epoch(self, runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save the best checkpoints, then delete those they replace."""
        runner.message_hub.update_info(_VALIDATED, runner.epoch)
        super().after_val_epoch(runner, metrics)
        self._remove_outdated(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        name = self.filename_tmpl.format(step)
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                oldest = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
                if is_main_process():
                    self.file_backend.remove(os.path.join(self.out_dir, oldest))
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self.last_ckpt = os.path.join(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
        )
        if is_main_process():
            pointer = os.path.join(runner.work_dir, 'last_checkpoint')
            write_atomically(pointer, self.last_ckpt.encode(), sync=True)
            self._remove_outdated(runner)

    def _publish_model(self, runner: Runner, ckpt_path: str) -> None:
        if not is_main_process():
            return
        stored = CheckpointLoader.load_checkpoint(ckpt_path, map_location='cpu')
        kept = {key: stored[key] for key in stored if key in self.published_keys}
        digest = hashlib.sha256(pickle.dumps(kept)).hexdigest()[:8]
        path = f'{os.path.splitext(ckpt_path)[0]}-{digest}.pth'
        save_checkpoint(kept, path, backend_args=self.backend_args)
        runner.logger.info(f'{ckpt_path} is published as {path}')

    def _remove_outdated(self, runner: Runner) -> None:
        """Delete what is no longer needed, unless it has been written anew since."""
        info = runner.message_hub.runtime_info
        used = [v for k, v in info.items() if k == 'last_ckpt' or 'best_ckpt' in k]
        steps = getattr(self, 'keep_ckpt_ids', ())
        used += [self.filename_tmpl.format(step) for step in steps]
        keep = {os.path.basename(path) for path in used if path}
        self._storage.remove_outdated(self.out_dir, keep)

    def _tidy_up(self, runner: Runner) -> None:
        for folder in {self.out_dir, runner.work_dir}:
            if os.path.isdir(folder):
                for name in remove_parts(folder):
                    runner.logger.info(f'Removed {name}, half-written by a killed run')
        head, _, tail = self.filename_tmpl.partition('{}')
        own = re.compile(rf'(best_.+_)?{re.escape(head)}\d+{re.escape(tail)}')
        if runner.iter > 0:  # resumed
            for name in self._loaded_meta.get(_OUTDATED, ()):
                # The names come out of a file: nothing but checkpoints of this folder.
                if os.path.basename(name) == name and own.fullmatch(name):
                    self._storage.remove(os.path.join(self.out_dir, name))
        self._remove_outdated(runner)

    def _validation_missed(self, runner: Runner) -> bool:
        loop = runner.train_loop
        if runner.val_loop is None or not isinstance(loop, EpochBasedTrainLoop):
            return False
        if loop.iter == 0 or loop.iter != loop.epoch * len(loop.dataloader):
            return False  # not resumed, or in the middle of an epoch
        loop._decide_current_val_interval()
        due = loop.epoch % loop.val_interval == 0 or loop.epoch == loop.max_epochs
        done = runner.message_hub.runtime_info.get(_VALIDATED)
        return due and loop.epoch >= loop.val_begin and done != loop.epoch
