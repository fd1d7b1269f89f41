"""What a model looked at: a row of the table for every family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmpose.apis import inference_topdown
from mmpose.models import TopdownPoseEstimator
from mmpose.structures import PoseDataSample
from torch import Tensor, nn

from ..models.backbones import HRNASNet
from ..models.heads import TokenPoseHead
from ..models.layers import SUSA, ConditionalChannelWeighting, PolarizedSelfAttention
from ..models.layers.pruning import Pruning
from . import gates, tokens
from .panels import Explanation, Panel, Section, Seen, spread
from .record import recorded

_CHOSEN = 4  # keypoints that are shown one by one


class Family(NamedTuple):
    """How a family is explained: by what it is known, recorded, and pictured."""

    part: type[nn.Module]
    parts: Callable[[nn.Module], list[nn.Module]] = lambda model: []
    sections: Callable[[Seen], list[Section]] = lambda seen: []
    pictures: Callable[[Seen], list[np.ndarray]] = lambda seen: []


def _part(model: nn.Module, kind: type[nn.Module]) -> Any:
    """The first module of a type, if there is one."""
    return next((one for one in model.modules() if isinstance(one, kind)), None)


def _architecture(seen: Seen) -> list[np.ndarray]:
    from .architecture import draw_architecture  # matplotlib

    net = _part(seen.model, HRNASNet)
    count = sum(p.numel() for p in net.parameters()) / 1e6
    subtitle = f'{count:.3f} M parameters, without the head'
    size = (seen.crop.shape[0], seen.crop.shape[1])
    return [draw_architecture(net.space, net.arch, 'HR-NAS', subtitle, size)]


FAMILIES: dict[str, Family] = {
    'TokenPose': Family(
        TokenPoseHead, tokens.attention_parts, tokens.attention_sections
    ),
    'pruning': Family(Pruning, tokens.attention_parts, tokens.pruning_sections),
    'X-HRNet': Family(SUSA, gates.susa_parts, gates.susa_sections),
    'Polarized self-attention': Family(
        PolarizedSelfAttention, gates.psa_parts, gates.psa_sections
    ),
    'Lite-HRNet': Family(
        ConditionalChannelWeighting, gates.ccw_parts, gates.ccw_sections
    ),
    'HR-NAS': Family(HRNASNet, pictures=_architecture),
}
"""Family to what explains it; a model of several families shows all of them."""


def families(model: nn.Module) -> list[str]:
    """Families whose parts a model has, in the table's order."""
    return [n for n, row in FAMILIES.items() if _part(model, row.part) is not None]


def explain(
    model: nn.Module,
    image: np.ndarray,
    box: Sequence[float] | None = None,
    keypoints: Sequence[str] | None = None,
    only: Sequence[str] | None = None,
) -> Explanation:
    """One person's prediction and what led to it.

    Modules are recorded by hooks; the model is left as it was.

    Args:
        model: A top-down model of ``mmpose.apis.init_model`` or of an inferencer. With
            a flip test the unmirrored image is shown.
        image: ``(H, W, 3)`` ``uint8`` BGR.
        box: Left, top, right, bottom of the person, px; all of the image if not given.
        keypoints: Names of those to show one by one; four if not given.
        only: Families of :data:`FAMILIES` to show; all that the model has if not given.

    Raises:
        ValueError: If the model is not top-down, predicts other keypoints than its data
            set has, or is of no such family, if a keypoint is unknown or the box empty.
    """
    if not isinstance(model, TopdownPoseEstimator):
        raise ValueError(f'model must be top-down, got a {type(model).__name__}')
    estimator: Any = model
    names = [n for _, n in sorted(estimator.dataset_meta['keypoint_id2name'].items())]
    if unknown := [name for name in keypoints or () if name not in names]:
        raise ValueError(f'keypoints must be among {names}, got {unknown}')
    head = estimator.head
    count = getattr(head, 'out_channels', getattr(head, 'num_joints', len(names)))
    if count != len(names):
        raise ValueError(
            f'model must predict the {len(names)} keypoints of its data set '
            f'{estimator.dataset_meta.get("dataset_name")!r}, got a '
            f'{type(head).__name__} of {count}'
        )
    known = families(model)
    if missing := [name for name in only or () if name not in known]:
        hint = '; only a TokenPoseHead with sparse_cfg prunes'
        raise ValueError(
            f'only must be among the families of the model, {known}, got {missing}'
            + hint * ('pruning' in missing)
        )
    if box is not None and not (box[0] < box[2] and box[1] < box[3]):
        raise ValueError(f'box must have x1 < x2 and y1 < y2, got {list(box)}')
    height, width = image.shape[:2]
    boxes = np.array([[0, 0, width, height] if box is None else box], np.float32)
    rows = [FAMILIES[name] for name in (known if only is None else only)]
    parts = {part for row in rows for part in row.parts(model)}
    config = estimator.test_cfg
    estimator.test_cfg = {**config, 'output_heatmaps': True}
    try:
        with recorded({estimator.backbone} | parts) as calls:
            (sample,) = inference_topdown(model, image, boxes)
    finally:
        estimator.test_cfg = config
    seen = Seen(
        model,
        calls,
        _image_of(estimator, calls[estimator.backbone].input),
        _in_crop(sample),
        [name.replace('_', ' ') for name in names],
        spread(count, _CHOSEN) if keypoints is None else [*map(names.index, keypoints)],
    )
    sections = [_prediction(sample, seen)]
    sections += [section for row in rows for section in row.sections(seen)]
    pictures = [picture for row in rows for picture in row.pictures(seen)]
    return Explanation(seen.crop, seen.points, sections, pictures)


def _image_of(model: Any, batch: Tensor) -> np.ndarray:
    """Pixels of the first image of a normalised batch, BGR."""
    preprocessor, pixels = model.data_preprocessor, batch[0]
    if getattr(preprocessor, '_enable_normalize', False):
        pixels = pixels * preprocessor.std + preprocessor.mean
    crop = pixels.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    swapped = getattr(preprocessor, '_channel_conversion', False)
    return np.ascontiguousarray(crop[..., ::-1] if swapped else crop)


def _in_crop(sample: PoseDataSample) -> np.ndarray:
    """Predicted ``(J, 3)`` in px of the network's input."""
    meta, found = sample.metainfo, sample.pred_instances
    corner = meta['input_center'] - 0.5 * meta['input_scale']
    points = (found.keypoints[0] - corner) / meta['input_scale'] * meta['input_size']
    return np.concatenate([points, found.keypoint_scores[0][:, None]], axis=1)


def _prediction(sample: PoseDataSample, seen: Seen) -> Section:
    """The skeleton, and heatmaps where the head has some."""
    panels = [Panel('input and prediction\n', skeleton=True)]
    fields = sample.get('pred_fields')
    if fields is not None and 'heatmaps' in fields:
        maps = fields.heatmaps.cpu().double().numpy()
        panels.append(Panel('largest of all heatmaps\n', maps.max(axis=0), low=0.0))
        for i in seen.chosen:
            title = f'{seen.names[i]}\nmax {maps[i].max():.2f}'
            panels.append(Panel(title, maps[i], low=0.0, marks=[i]))
    return Section('Prediction and heatmaps', panels)
