"""Batch norm statistics that belong to the weights that are validated."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from ..checks import checked
from ..registry import register_hook
from .epoch_end import EpochEndHook, averaged_model, live_model


@register_hook
class BNRecalibrationHook(EpochEndHook):
    """Measures batch norm statistics anew, for validation and checkpoints.

    Averaged weights, and weights that were just cut, produce activations that the
    running statistics do not describe. They become the plain mean over a few training
    batches, and over all processes: those of the averaged weights where an ``EMAHook``
    keeps some, else those of the model. Norms that the model keeps in eval mode, as
    with ``norm_eval``, are left alone.

    Args:
        interval: Epochs between two measurements; the last epoch is always one.
        batch_size: Images per batch and process.
    """

    priority = 'LOW'  # after what other hooks do to the model at NORMAL

    @checked()
    def __init__(
        self, interval: int = 1, batches: int = 10, batch_size: int = 16
    ) -> None:
        self.interval = interval
        self.batches = batches
        self.batch_size = batch_size

    def recalibrate(self, runner: Runner) -> None:
        """Measure, if it is time."""
        is_due = self.every_n_epochs(runner, self.interval)
        if not is_due and not self.is_last_train_epoch(runner):
            return
        # A loader of its own leaves the workers of the training loader undisturbed.
        loader = runner.build_dataloader(
            dict(
                dataset=runner.train_dataloader.dataset,
                batch_size=self.batch_size,
                sampler=dict(type='DefaultSampler', shuffle=True),
                collate_fn=dict(type='pseudo_collate'),
                num_workers=0,
            ),
            seed=runner.seed,
        )
        average = averaged_model(runner)
        model = live_model(runner) if average is None else average.module
        recalibrate(model, loader, self.batches)


@torch.no_grad()
def recalibrate(model: BaseModel, loader: Iterable, batches: int) -> None:
    """Replace running statistics by the mean over ``batches`` batches, or fewer if so.

    The model, a pose estimator of MMPose, gets its mode back.
    """
    was_training = model.training
    model.train()
    norms: list[Any]  # those that track statistics, whose counters are tensors
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    norms = [norm for norm in norms if norm.track_running_stats]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    model.eval()  # dropout must not be part of what is measured
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean
    for batch in islice(loader, batches):
        data = model.data_preprocessor(batch, True)
        model(data['inputs'], data['data_samples'], mode='tensor')
    for norm, (momentum, count) in zip(norms, before, strict=True):
        norm.momentum = momentum
        norm.num_batches_tracked.copy_(count)
        all_reduce(norm.running_mean, 'mean')
        all_reduce(norm.running_var, 'mean')
    model.train(was_training)
