"""Data, network and head that do not fit each other, found before the first step."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmpose.models.pose_estimators import TopdownPoseEstimator

from ..checkpoints import geometry_conflict, geometry_of
from ..checks import checked, shown
from ..loading import load_weights
from ..registry import register_hook
from .epoch_end import live_model


@register_hook
class CheckFitHook(Hook):
    """Refuses what would fail in the first step, or train something else than meant.

    - The head must predict as many keypoints as every data set has.
    - In a top-down estimator an empty image of the codec's size must go through: the
      head must take the maps of the backbone, and give heatmaps of the codec's size.

    A data set or a head that does not say its keypoints, and a head without a codec,
    are let through. Weights that say which geometry they were trained with are let
    through too, but a warning says what is another here. Weights that are only tested
    must fill the whole model; MMEngine goes on with what it finds.

    Raises:
        ValueError: Before training, validation or testing begins.
    """

    priority = 'VERY_HIGH'

    @checked()
    def __init__(self) -> None:
        self._has_run = False

    def after_load_checkpoint(self, runner: Runner, checkpoint: Any) -> None:
        """Warn of another geometry; refuse weights that do not fit a test."""
        trained = (checkpoint.get('meta') or {}).get('geometry')
        if conflict := geometry_conflict(trained, geometry_of(runner.cfg)):
            runner.logger.warning(
                f'the weights were trained with another geometry: {conflict}'
            )
        # A run that trains builds its loop first, and may begin with some weights only.
        if not isinstance(runner._train_loop, BaseLoop):
            load_weights(live_model(runner), checkpoint.get('state_dict', checkpoint))

    def before_train(self, runner: Runner) -> None:
        """Check all that training uses."""
        self._check(runner, runner.train_loop, runner.val_loop)

    def before_val(self, runner: Runner) -> None:
        """Check what validation uses, unless training did."""
        self._check(runner, runner.val_loop)

    def before_test(self, runner: Runner) -> None:
        """Check what testing uses."""
        self._check(runner, runner.test_loop)

    def _check(self, runner: Runner, *loops: Any) -> None:
        model: Any = live_model(runner)
        if self._has_run or getattr(model, 'head', None) is None:
            return
        for loop in filter(None, loops):
            dataset = loop.dataloader.dataset
            check_keypoints(model.head, getattr(dataset, 'metainfo', None) or {})
        if isinstance(model, TopdownPoseEstimator):
            check_sizes(model)
        self._has_run = True


def check_keypoints(head: Any, metainfo: dict[str, Any]) -> None:
    """Refuse a head with another number of keypoints than a data set has."""
    keypoints = metainfo.get('num_keypoints')
    # Heads that also tag, shift or group keypoints have further outputs, and name them.
    names = ('num_keypoints', 'num_joints', 'out_channels')
    name = next((n for n in names if isinstance(getattr(head, n, None), int)), None)
    if keypoints is None or name is None:
        return
    wanted, given = keypoints, getattr(head, name)
    decoder = getattr(head, 'decoder', None)
    if name == 'out_channels' and getattr(decoder, 'heatmap_type', '') == 'combined':
        wanted = 3 * keypoints  # offsets along both axes as well
    if given != wanted:
        raise ValueError(
            f'model.head.{name} must be {wanted}, for the {keypoints} keypoints of the '
            f'data set {metainfo.get("dataset_name")!r}, got {given}'
        )


@torch.no_grad()
def check_sizes(model: Any) -> None:
    """Refuse a backbone, a head and a codec that do not take each other's maps."""
    head, decoder = model.head, getattr(model.head, 'decoder', None)
    size = getattr(decoder, 'input_size', None)
    if size is None:
        return
    modes = [(module, module.training) for module in model.modules()]
    image = torch.zeros(1, 3, *size[::-1], device=next(model.parameters()).device)
    try:
        feats = model.eval().extract_feat(image)
        given = getattr(head, 'in_channels', None)
        # Networks of several stages give a list of maps for each.
        width = getattr(feats[-1], 'shape', (None, given))[1]
        if isinstance(given, int) and given != width:
            raise ValueError(
                f'model.head.in_channels must be {width}, the channels of the map '
                f'before it, got {given}'
            )
        output = head.forward(feats)
    finally:
        for module, mode in modes:
            module.training = mode
    if isinstance(output, (list, tuple)) and output:  # of several stages
        output = output[-1]
    wanted = getattr(decoder, 'heatmap_size', None)
    if wanted is None or getattr(output, 'ndim', 0) != 4:
        return
    found = tuple(output.shape[:1:-1])
    if found != tuple(wanted):
        raise ValueError(
            f'model.head.decoder heatmap_size (w, h) must be {found}, what the network '
            f'gives for input_size {shown(tuple(size))}, got {shown(tuple(wanted))}'
        )
