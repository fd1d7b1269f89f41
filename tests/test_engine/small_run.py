"""A training of a few steps, and processes that run it and die where they are told."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
from itertools import count
from pathlib import Path

import numpy as np
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from mmpose_lite import files

STATE = ('state_dict', 'optimizer', 'ema_state_dict', 'param_schedulers')
_NUMBERS = count()
METRICS = ['one', 'two']


class Noisy(Dataset):
    """Samples that draw from all three global generators."""

    metainfo: dict = {}  # noqa: RUF012

    def __init__(self, size=12):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        draws = torch.tensor([random.random(), np.random.rand(), torch.rand(()).item()])
        return dict(inputs=draws + index, index=index)


class Small(BaseModel):
    """Norm, dropout and two layers; the loss is finite whatever the weights."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 1)
        )

    def forward(self, inputs, index, mode='tensor'):
        out = self.net(torch.stack(list(inputs)))
        return dict(loss=(out - 1).square().mean()) if mode == 'loss' else list(out)


class Mean(BaseMetric):
    """A figure that follows from the weights, and one that is best at epoch 2."""

    epoch = 0

    def process(self, data_batch, data_samples):
        self.results += [float(value) for value in data_samples]

    def compute_metrics(self, results):
        return {'one': np.mean(results), 'two': abs(self.epoch - 2)}


class Tell(Hook):
    """Moments between steps, for the process to die at."""

    priority = 'LOWEST'

    def __init__(self, metric):
        self.metric = metric

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        sys.audit('small_run.step', str(runner.iter))

    def before_val_epoch(self, runner):
        self.metric.epoch = runner.epoch
        sys.audit('small_run.step', 'validation')

    def after_val_epoch(self, runner, metrics=None):
        sys.audit('small_run.step', 'validated')


class QuickRunner(Runner):
    """Starts at once: without the report for which compilers are asked."""

    def _log_env(self, env_cfg):
        pass


def loader(train, workers=0, **options):
    return dict(
        dataset=Noisy(),
        batch_size=4,
        num_workers=workers,
        persistent_workers=workers > 0,
        sampler=dict(type='DefaultSampler', shuffle=train),
        collate_fn=dict(type='default_collate'),
        **options,
    )


def runner(work_dir, workers=0, hooks=None, checkpoint=None, **options):
    """A Runner of three epochs of three steps; ``options`` replace its arguments."""
    seed = options.pop('seed', 7)
    metric = Mean(prefix='')
    arguments = dict(
        model=Small(),
        work_dir=str(work_dir),
        train_dataloader=loader(True, workers),
        val_dataloader=loader(False, workers),
        train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=1),
        val_cfg=dict(),
        val_evaluator=Evaluator(metric),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.01)),
        param_scheduler=dict(
            type='ReduceOnPlateauLR', monitor='two', rule='greater', patience=0
        ),
        default_hooks=dict(
            checkpoint=dict(
                dict(
                    type='mmpose_lite.AtomicCheckpointHook',
                    interval=1,
                    max_keep_ckpts=1,
                    save_best=METRICS,
                    rule='less',
                ),
                **(checkpoint or {}),
            )
        ),
        custom_hooks=[
            dict(type='mmpose_lite.EpochSeedHook'),
            dict(type='EMAHook', ema_type='ExponentialMovingAverage'),
            Tell(metric),
            *(hooks or []),
        ],
        randomness=dict(seed=seed),
        log_level='WARNING',
        experiment_name=f'run{next(_NUMBERS)}',  # mmengine keeps logs by it
    )
    return QuickRunner(**{**arguments, **options})


def is_moment(event, args):
    """Whether a process could die here with a half-done change to a checkpoint."""
    if event.startswith('small_run.'):
        return True
    if event == 'open':
        path, mode = str(args[0]), args[1] or 'r'
        return mode[0] in 'wa' and ('.pth' in path or 'last_checkpoint' in path)
    return event in ('os.rename', 'os.remove', 'os.rmdir', 'os.mkdir')


class HalfWriter:
    """A file whose every write stops in the middle for a moment."""

    def __init__(self, file):
        self._file = file

    def write(self, data):
        self._file.write(data[: len(data) // 2])
        self._file.flush()
        sys.audit('small_run.half', self._file.name)
        self._file.write(data[len(data) // 2 :])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)


def _live(work_dir, die_at, journal, train):
    moments, pid = 0, os.getpid()

    def watch(event, args):
        nonlocal moments
        if os.getpid() == pid and is_moment(event, args):  # no worker's
            moments += 1
            if moments == die_at:
                os.kill(pid, signal.SIGKILL)
            if journal is not None:
                os.write(journal, f'{event} {args[0]}\n'.encode())

    files.open = lambda *args: HalfWriter(open(*args))  # noqa: SIM115
    sys.addaudithook(watch)
    torch.manual_seed(0)
    train(work_dir)


def _train(work_dir):
    runner(work_dir, resume=True).train()


def live(work_dir, die_at=0, journal=None, train=_train):
    """Train (or go on training) in a process of its own.

    Args:
        work_dir: Where its checkpoints lie.
        die_at: Number of the moment at which it kills itself; 0 for never.
        journal: File descriptor to which it writes its moments.
        train: What it does.

    Returns:
        Whether it came to its end.
    """
    context = multiprocessing.get_context('fork')
    process = context.Process(target=_live, args=(work_dir, die_at, journal, train))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == 0


def last(work_dir):
    """The checkpoint to resume from, read whole, or None."""
    pointer = Path(work_dir, 'last_checkpoint')
    return torch.load(pointer.read_text()) if pointer.exists() else None


def names(work_dir):
    """What lies in the folder besides logs."""
    return sorted(
        path.name for path in Path(work_dir).iterdir() if not path.name[0].isdigit()
    )


def assert_same(one, other, path='checkpoint'):
    """Bitwise equality of nested states."""
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_same(one[key], other[key], f'{path}[{key!r}]')
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), path
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f'{path}[{i}]')
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    else:
        assert one == other, path
