"""Training that neither ends nor goes astray because of damaged data."""

from __future__ import annotations

import math
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpose.datasets import CombinedDataset

from ...checks import FLAG, checked, number
from ...registry import register_hook
from ..finite_steps import FiniteSteps
from ..models_of import live_model
from .datasets import Checked, check_dataset, count_lost, explain_loading, listed
from .pipeline import Failures, GuardedPipeline, datasets_of

_SHOWN = 50  # findings that the log lists


@register_hook
class DataGuardHook(Hook):
    """Checks data before the first step, and passes over what is damaged.

    Before the first step every annotation, and head and end of every image file, are
    checked as ``mmpose-lite check-data`` does it. Then

    - annotations that MMPose cannot load, or reads otherwise than they were meant
      (repeated ids, other keypoints than the model's, nobody in them), end the run;
    - single damaged images and persons (not-a-numbers, empty boxes, missing files,
      wrong categories, sizes that do not match, …) are left out, and one warning lists
      them with file and id. MMEngine draws another sample in the place of each;
    - more than ``tolerance`` of them end the run, and so does any of them in the
      validation data, whose figures would be of another data set.

    While the run trains, an image that cannot be read after all, and a sample that is
    not finite after augmentation, are passed over as well and logged once. A loss or
    gradient that is not finite ends the run before it reaches the weights, with the
    files of the batch; the last checkpoint is left as it was.

    In several processes the first one checks and tells the others.

    Args:
        tolerance: Part of the training samples that may be damaged, rounded up: one
            may unless it is 0.
        images: Whether image files are looked at beforehand.
        validation: Whether the validation data are checked, too.

    Raises:
        ValueError: If an argument is none of those; before training, if the data
            cannot be used (the message names files and ids).
    """

    priority = 'VERY_HIGH'

    @checked(tolerance=number(0, 1), images=FLAG, validation=FLAG)
    def __init__(
        self, tolerance: float = 0.01, images: bool = True, validation: bool = True
    ) -> None:
        self.tolerance = tolerance
        self.images = images
        self.validation = validation
        self._steps: FiniteSteps | None = None
        # Data sets are built before any method of a hook is called.
        self._explained = explain_loading(self)

    def before_run(self, runner: Runner) -> None:
        """Leave MMPose's data sets as they were: the run's own are built."""
        self._explained()

    def before_train(self, runner: Runner) -> None:
        """Check everything, then guard it."""
        loop = runner.train_loop
        for dataset in datasets_of(loop.dataloader.dataset):
            self._guard(runner, dataset)
        if runner.val_loop is not None and self.validation:
            for dataset in datasets_of(runner.val_loop.dataloader.dataset):
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
        """Check one data set and put the guard around its pipeline."""
        if isinstance(dataset.pipeline, GuardedPipeline):
            return  # the run trains for the second time
        found = Checked()
        if not isinstance(dataset, CombinedDataset):
            found = self._check(runner, dataset)
        limit = math.ceil(self.tolerance * len(dataset))
        self._judge(runner, dataset, found, limit)
        dataset.pipeline = GuardedPipeline(
            dataset.pipeline,
            Failures(limit),
            found.images,
            found.persons,
            bool(dataset.test_mode),
        )

    def _check(self, runner: Runner, dataset: BaseDataset) -> Checked:
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
        self, runner: Runner, dataset: BaseDataset, found: Checked, limit: int
    ) -> None:
        """Raise, or say once what is left out."""
        worst, bad = found.of('fatal'), found.of('error')
        path = str(dataset.ann_file)
        if worst:
            raise ValueError(listed(f'{path} cannot be used', worst + bad))
        hint = '`mmpose-lite check-data` lists everything that is wrong with it'
        if bad and dataset.test_mode:
            head = (
                f'{path} has damaged data, but validates ({hint}; validation=False of '
                f'the hook goes on with them)'
            )
            raise ValueError(listed(head, bad))
        lost = count_lost(dataset, found) if bad else 0
        damaged = len({(finding.kind, finding.id) for finding in bad})
        if max(lost, damaged) > limit:
            head = (
                f'{path}: {damaged} records or files are damaged, which concerns '
                f'{lost} of {len(dataset)} samples; tolerance={self.tolerance} allows '
                f'{limit} ({hint})'
            )
            raise ValueError(listed(head, bad))
        if bad:
            head = f'{path}: left out of training, {lost} of {len(dataset)} samples'
            runner.logger.warning(listed(head, bad, _SHOWN))
        if found.about:
            runner.logger.info(f'{path}: {found.about}')
