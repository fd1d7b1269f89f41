"""A training of a few steps, and processes that run it."""

from __future__ import annotations

import random
import sys
from functools import partial
from itertools import count
from typing import ClassVar

import killing
import numpy as np
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

_NUMBERS = count()
METRICS = ['one', 'two']


class Noisy(Dataset):
    """Samples that draw from all three global generators."""

    metainfo: ClassVar[dict] = {}

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
        sys.audit('run.step', str(runner.iter))

    def before_val_epoch(self, runner):
        self.metric.epoch = runner.epoch
        sys.audit('run.step', 'validation')

    def after_val_epoch(self, runner, metrics=None):
        sys.audit('run.step', 'validated')


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


def _train(work_dir):
    runner(work_dir, resume=True).train()


live = partial(killing.live, train=_train)
"""Train (or go on training) in a process of its own; see :func:`killing.live`."""
