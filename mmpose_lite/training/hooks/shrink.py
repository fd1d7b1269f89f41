"""Progressive shrinking of a network that is searched (arXiv 2106.06560)."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ...checks import NOTHING, checked, number, whole
from ...io.files import write_atomically
from ...models.backbones import HRNASNet
from ...models.backbones.hrnas_arch import BlockArch, infer_arch, parse_arch
from ...registry import register_hook
from ...search import SearchablePoseEstimator
from ...search.penalty import THRESHOLD
from ...search.shrinking import Masks, decide, discard, follow, planned_arch, shrink
from ..models_of import averaged_model, refresh, searched_model

KEY = 'hrnas_arch'
"""Name of the architecture in a checkpoint's ``meta``."""
FLOOR = 0.95
"""A search for a target ends between this share of it and all of it."""


@register_hook
class ShrinkHook(Hook):
    """Removes dead channels and tokens, everywhere at once, every few epochs.

    What leaves is cut in place from parameters, statistics, averaged weights and
    optimizer; constants that dead channels emitted are folded into the norm after them.
    All processes do what the first decides. If the model has a target, the network may
    cost less and less from one shrink to the next, falling geometrically to the target:
    where the penalty has not brought it there by then, the least important leaves too.
    It ends between 95 and 100 % of the target.

    The architecture travels in every checkpoint. A checkpoint of a network that has
    shrunk can be resumed from, loaded and tested without naming the architecture.

    Args:
        interval: Epochs between two shrinks.
        end: Epoch of the last one; the last epoch of the training if None.
        threshold: Importance up to which a channel or token is dead.
        min_saving: Share of the supernet's cost that a shrink must save, except the
            last one and what a target asks for.
        tokens_from: First epoch in which tokens may leave, which changes the function;
            late and rarely is better.

    Raises:
        ValueError: If an argument is out of range.
    """

    # Before EMAHook (NORMAL) reads a checkpoint, and before a checkpoint is written.
    priority = 'ABOVE_NORMAL'

    @checked(
        interval=whole(1),
        end=NOTHING | whole(1),
        threshold=number(0),
        min_saving=number(0, 1),
        tokens_from=whole(0),
    )
    def __init__(
        self,
        interval: int = 30,
        end: int | None = None,
        threshold: float = THRESHOLD,
        min_saving: float = 2e-4,
        tokens_from: int = 0,
    ) -> None:
        if end is not None and end < interval:
            raise ValueError(f'interval must be at most end {end}, got {interval}')
        self.interval = interval
        self.end = end
        self.threshold = threshold
        self.min_saving = min_saving
        self.tokens_from = tokens_from
        self._started: tuple[float, int] | None = None

    def before_train(self, runner: Runner) -> None:
        """Note the architecture that the search begins with.

        Raises:
            ValueError: If the last shrink would come after the training.
        """
        if self.end is not None and self.end > runner.max_epochs:
            raise ValueError(
                f'ShrinkHook end must be at most max_epochs {runner.max_epochs}, got '
                f'{self.end}'
            )
        self._started = (time.monotonic(), runner.epoch)
        # A resumed run has recorded it before.
        self._report(runner, runner.epoch, record=runner.epoch == 0)

    def after_train_epoch(self, runner: Runner) -> None:
        """Shrink, if it is time and enough is dead."""
        epoch, end = runner.epoch + 1, self.end or runner.max_epochs
        if epoch > end or (epoch % self.interval and epoch != end):
            return
        model = searched_model(runner)
        before = model.cost()
        masks = self._agree(runner, model, epoch, end)
        planned = planned_arch(model.backbone, masks)
        saved = before - model.cost(planned)
        forced = before > self._cap(model, epoch, end)
        if planned != model.backbone.arch and (
            forced or epoch == end or saved >= self.min_saving * model.full_cost
        ):
            self._shrink(runner, model, masks)
        self._report(runner, epoch)

    def _cap(self, model: SearchablePoseEstimator, epoch: int, end: int) -> float:
        """What the network may cost after this epoch."""
        if model.target is None:
            return math.inf
        full = model.full_cost
        return full * min(model.target / full, 1.0) ** (epoch / end)

    def _agree(
        self, runner: Runner, model: SearchablePoseEstimator, epoch: int, end: int
    ) -> Masks:
        """The first process decides for all."""
        decided: list[Any] = [None]
        if is_main_process():
            beside = model.cost_beside_backbone
            average = averaged_model(runner)
            decided[0] = decide(
                model.backbone,
                model.cost_model,
                averaged=None if average is None else average.module.backbone,
                threshold=self.threshold,
                cap=self._cap(model, epoch, end) - beside,
                floor=FLOOR * (model.target or 0) - beside,
                tokens=epoch >= self.tokens_from,
            )
        broadcast_object_list(decided)
        return decided[0]

    def _shrink(
        self, runner: Runner, model: SearchablePoseEstimator, masks: Masks
    ) -> None:
        """Cut model, averaged weights and optimizer, and wrap the model anew."""
        follow(runner.optim_wrapper.optimizer, shrink(model.backbone, masks))
        average = averaged_model(runner)
        if average is not None:
            shrink(average.module.backbone, masks)
            refresh(average)
        if is_model_wrapper(runner.model):
            # A wrapper keeps buckets with the sizes that parameters had.
            runner.model = None
            runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)

    def _report(self, runner: Runner, epoch: int, record: bool = True) -> None:
        """Log the present architecture, and draw and write it."""
        model = searched_model(runner)
        facts = summary(model)
        cost, full = model.cost(), model.full_cost
        goal = '' if model.target is None else (f' (target {model.target:.4g})')
        unit = model.cost_model.unit
        runner.logger.info(
            f'search, epoch {epoch} of {runner.max_epochs}: {cost:.4g} of {full:.4g} '
            f'{unit}{goal}, '
            + ', '.join(f'{name} {value:g}' for name, value in facts.items())
            + self._time_left(runner, epoch)
        )
        if not record:
            return
        runner.visualizer.add_scalars(
            {f'search/{name}': value for name, value in facts.items()}, step=epoch
        )
        if is_main_process():
            data = json.dumps(model.describe(), indent=1).encode()
            write_atomically(f'{runner.work_dir}/arch_epoch_{epoch}.json', data)

    def _time_left(self, runner: Runner, epoch: int) -> str:
        if self._started is None or epoch <= self._started[1]:
            return ''
        since, first = self._started
        each = (time.monotonic() - since) / (epoch - first)
        left = each * (runner.max_epochs - epoch)
        return f'; about {left / 60:.1f} min left'

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Let the architecture travel with the weights."""
        checkpoint['meta'][KEY] = searched_model(runner).describe()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take on the architecture of weights before they are loaded."""
        model = searched_model(runner)
        stored = stored_arch(model.backbone, checkpoint)
        if stored is None or stored == model.backbone.arch:
            return
        model.backbone.reshape(stored)
        average = averaged_model(runner)
        if average is not None:
            average.module.backbone.reshape(stored)
            refresh(average)
        optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
        if isinstance(optimizer, torch.optim.Optimizer):
            present = {id(parameter) for parameter in model.parameters()}
            groups = optimizer.param_groups
            known = [p for group in groups for p in group['params']]
            discard(optimizer, [p for p in known if id(p) not in present])


def stored_arch(backbone: HRNASNet, checkpoint: dict) -> list[BlockArch] | None:
    """The architecture of a checkpoint: its shapes say it, its meta must agree.

    Raises:
        ValueError: If they do not (the message names both).
    """
    weights = {
        key.removeprefix('module.'): value
        for key, value in checkpoint.get('state_dict', checkpoint).items()
    }
    names = [name for name, _ in backbone.named_blocks()]
    found = infer_arch(weights, [f'backbone.{name}' for name in names])
    said = checkpoint.get('meta', {}).get(KEY)
    if found is None or said is None:
        return found
    told = parse_arch(backbone.space, said['blocks'])
    differing = [
        f'\n  {name}: shapes {a}, meta {b}'
        for name, a, b in zip(names, found, told, strict=True)
        if a != b
    ]
    if differing:
        raise ValueError(
            'the checkpoint contradicts itself: its weights have another architecture '
            f'than its meta says, in {len(differing)} blocks:{"".join(differing)}'
        )
    return found


def summary(model: SearchablePoseEstimator) -> dict[str, float]:
    """Cost, parameters, channels per kernel size and tokens left."""
    arch = model.backbone.arch
    facts: dict[str, float] = {
        model.cost_model.unit: model.cost(),
        'parameters': sum(p.numel() for p in model.parameters()),
    }
    for kernel in model.backbone.space.kernels:
        facts[f'channels {kernel}x{kernel}'] = sum(
            count
            for block in arch
            for k, count in zip(block.kernels, block.channels, strict=True)
            if k == kernel
        )
    facts['blocks'] = sum(bool(block.kernels) for block in arch)
    if model.backbone.space.transformer is not None:
        facts['queries'] = sum(block.tokens for block in arch)
    return facts
