"""Training that neither ends nor goes astray because of damaged data."""

from __future__ import annotations

import math
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpose.datasets import CombinedDataset

from ...checks import checked, number
from ...data import Finding
from ...registry import register_hook
from ..epoch_end import live_model
from .datasets import check_dataset, count_lost, damaged_ids, graded, listed
from .finite_steps import FiniteSteps
from .pipeline import Failures, GuardedPipeline, datasets_of

_SHOWN = 50  # findings that the log lists


@register_hook
class DataGuardHook(Hook):
    """Checks data before the first step, and passes over what is damaged.

    What ``mmpose-lite check-data`` calls fatal ends the run; single damaged images and
    persons are left out, and one warning lists them. While the run trains, an image
    that cannot be read after all and a sample that augmentation made infinite are
    passed over and logged once; a loss or gradient that is not finite ends the run
    before it reaches the weights. ``docs/data.md`` says which is which.

    In several processes the first one checks and tells the others.

    Args:
        tolerance: Part of the training samples that may be damaged, rounded up: one
            may unless it is 0.
        images: Whether image files are looked at beforehand.
        validation: Whether the validation data, in which nothing may be damaged, are
            checked, too.

    Raises:
        ValueError: If an argument is none of those; before training, if the data
            cannot be used (the message names files and ids).
    """

    priority = 'VERY_HIGH'

    @checked(tolerance=number(0, 1))
    def __init__(
        self, tolerance: float = 0.01, images: bool = True, validation: bool = True
    ) -> None:
        self.tolerance = tolerance
        self.images = images
        self.validation = validation
        self._steps: FiniteSteps | None = None

    def before_train(self, runner: Runner) -> None:
        """Check everything, then guard it."""
        loops = [runner.train_loop]
        if runner.val_loop is not None and self.validation:
            loops.append(runner.val_loop)
        for loop in loops:
            for dataset in datasets_of(loop.dataloader.dataset):
                self._guard(runner, dataset)
        self.after_train(runner)  # what a run that failed left behind
        self._steps = FiniteSteps(
            runner.optim_wrapper, live_model(runner), lambda: runner.iter + 1
        )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Remember the batch, in case its loss is not finite."""
        if self._steps is not None:
            self._steps.batch = data_batch

    def after_train(self, runner: Runner) -> None:
        """Let go of the optimizer."""
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def _guard(self, runner: Runner, dataset: BaseDataset) -> None:
        if isinstance(dataset.pipeline, GuardedPipeline):
            return  # the run trains for the second time
        limit = math.ceil(self.tolerance * len(dataset))
        findings: list[Finding] = []
        if not isinstance(dataset, CombinedDataset):
            findings, about = self._check(runner, dataset)
            self._judge(runner, dataset, findings, limit)
            if about:
                runner.logger.info(f'{dataset.ann_file}: {about}')
        dataset.pipeline = GuardedPipeline(
            dataset.pipeline,
            Failures(limit),
            damaged_ids(findings, 'image'),
            damaged_ids(findings, 'person'),
            bool(dataset.test_mode),
        )

    def _check(self, runner: Runner, dataset: BaseDataset) -> Any:
        """Check in the first process, and let the others know, also of a failure."""
        results: list[Any] = [None]
        if is_main_process():
            try:
                results[0] = check_dataset(dataset, self.images, runner.logger)
            except Exception as error:
                results[0] = f'{dataset.ann_file} cannot be checked: {error!r}'
        broadcast_object_list(results)
        if isinstance(results[0], str):
            raise ValueError(results[0])
        return results[0]

    def _judge(
        self, runner: Runner, dataset: BaseDataset, findings: list[Finding], limit: int
    ) -> None:
        worst, bad = graded(findings, 'fatal'), graded(findings, 'error')
        path = str(dataset.ann_file)
        if worst:
            raise ValueError(listed(f'{path} cannot be used', worst + bad))
        if not bad:
            return
        hint = '`mmpose-lite check-data` lists everything that is wrong with it'
        if dataset.test_mode:
            head = (
                f'{path} has damaged data, but validates ({hint}; validation=False of '
                f'the hook goes on with them)'
            )
            raise ValueError(listed(head, bad))
        lost = count_lost(dataset, findings)
        damaged = len({(finding.kind, finding.id) for finding in bad})
        if max(lost, damaged) > limit:
            head = (
                f'{path}: {damaged} records or files are damaged, which concerns '
                f'{lost} of {len(dataset)} samples; tolerance={self.tolerance} allows '
                f'{limit} ({hint})'
            )
            raise ValueError(listed(head, bad))
        head = f'{path}: left out of training, {lost} of {len(dataset)} samples'
        runner.logger.warning(listed(head, bad, _SHOWN))
