"""A search in the Runner: how much cost is punished, and when the network shrinks.

arXiv 2106.06560. What a shrink removes, and how, is the searched model's own business
(:meth:`~mmpose_lite.search.SearchablePoseEstimator.search_step`).
"""

from __future__ import annotations

from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..checks import checked, number, whole
from ..io.files import write_atomically
from ..registry import register_hook
from ..search import ARCH_KEY, THRESHOLD, SearchablePoseEstimator, extent, format_arch
from .epoch_end import EpochEndHook, averaged_model, live_model


def searched_model(runner: Runner) -> SearchablePoseEstimator:
    """The model that is trained, which must be one that is searched."""
    model = live_model(runner)
    if not isinstance(model, SearchablePoseEstimator) or not model.is_search:
        raise ValueError(
            'model.type must be SearchablePoseEstimator, with a resource, for a '
            f'search, got {type(model).__name__}'
        )
    return model


@register_hook
class PenaltyHook(Hook):
    """Weight of the resource penalty: linear from 0, then constant.

    A network within its target (``resource`` of the model) is no longer punished, so
    that it can train in peace. Everything is a function of the iteration and the
    network: a resumed run needs no state.

    Args:
        weight: Weight at the end of the ramp; HR-NAS uses 1e-6 for keypoints.
        begin, end: Epochs at which the ramp begins and ends.

    Raises:
        ValueError: If ``weight`` is negative or ``end`` lies before ``begin``.
    """

    priority = 'NORMAL'

    @checked()
    def __init__(self, weight: float = 1e-6, begin: float = 0, end: float = 25) -> None:
        if not 0 <= begin <= end:
            raise ValueError(f'begin {begin} and end {end} must be 0 <= begin <= end')
        self.weight = weight
        self.begin, self.end = begin, end
        self._is_done = False

    def before_train_epoch(self, runner: Runner) -> None:
        """See whether the target is reached."""
        model = searched_model(runner)
        self._is_done = model.target is not None and model.cost() <= model.target

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Set the weight for this iteration."""
        epoch = runner.iter / len(runner.train_dataloader)
        span = self.end - self.begin
        ramp = (epoch - self.begin) / span if span else float(epoch >= self.begin)
        weight = 0.0 if self._is_done else self.weight * min(max(ramp, 0.0), 1.0)
        searched_model(runner).penalty_weight = weight


@register_hook
class ShrinkHook(EpochEndHook):
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
        end: Epoch of the last one; the last epoch of the training if None.
        threshold: Importance up to which a channel or token is dead.
        min_saving: Share of the supernet's cost that a shrink must save, except the
            last one and what a target asks for.
        tokens_from: First epoch in which tokens may leave, which changes the function;
            late and rarely is better.
    """

    priority = 'ABOVE_NORMAL'  # takes on an architecture before EMAHook loads weights

    @checked(min_saving=number(0, 1), tokens_from=whole(0))
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

    def before_train(self, runner: Runner) -> None:
        """Note the architecture that the search begins with."""
        if self.end is not None and self.end > runner.max_epochs:
            raise ValueError(
                f'ShrinkHook end must be at most max_epochs {runner.max_epochs}, got '
                f'{self.end}'
            )
        # A resumed run has recorded it before.
        self._report(runner, runner.epoch, record=runner.epoch == 0)

    def shrink(self, runner: Runner) -> None:
        """Let the model remove what it can do without, if it is time."""
        epoch, end = runner.epoch + 1, self.end or runner.max_epochs
        if epoch > end or (epoch % self.interval and epoch != end):
            return
        model = searched_model(runner)
        has_shrunk = model.search_step(
            epoch / end,
            runner.optim_wrapper.optimizer,
            averaged_model(runner),
            threshold=self.threshold,
            min_saving=self.min_saving,
            tokens=epoch >= self.tokens_from,
        )
        if has_shrunk and is_model_wrapper(runner.model):
            # A wrapper keeps buckets with the sizes that parameters had.
            runner.model = None
            runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)
        self._report(runner, epoch)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Let the architecture travel with the weights."""
        checkpoint['meta'][ARCH_KEY] = searched_model(runner).describe()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take on the architecture of weights before they are loaded."""
        optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
        searched_model(runner).take_on(checkpoint, optimizer, averaged_model(runner))

    def _report(self, runner: Runner, epoch: int, record: bool = True) -> None:
        model = searched_model(runner)
        cost, full, unit = model.cost(), model.full_cost, model.cost_model.unit
        facts = {
            unit: cost,
            'parameters': sum(p.numel() for p in model.parameters()),
            **extent(model.backbone.space, model.backbone.arch),
        }
        goal = '' if model.target is None else f' (target {model.target:.4g})'
        runner.logger.info(
            f'search, epoch {epoch} of {runner.max_epochs}: {cost:.4g} of {full:.4g} '
            f'{unit}{goal}, '
            + ', '.join(f'{name} {value:g}' for name, value in facts.items())
        )
        if not record:
            return
        runner.visualizer.add_scalars(
            {f'search/{name}': value for name, value in facts.items()}, step=epoch
        )
        if is_main_process():
            path = f'{runner.work_dir}/arch_epoch_{epoch}.json'
            write_atomically(path, format_arch(model.describe()).encode())
