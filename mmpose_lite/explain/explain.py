"""What a model looked at: a row of the table for every family."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmpose.apis import inference_topdown
from mmpose.structures import PoseDataSample
from torch import nn

from ..models.backbones import HRNASNet
from ..models.heads import TokenPoseHead
from ..models.layers import SUSA, ConditionalChannelWeighting, PolarizedSelfAttention
from . import gates
from .architecture import draw_architecture
from .attention import _image_of
from .panels import Explanation, Panel, Section, spread
from .recording import Call, first_input, recorded
from .token_attention import attention_parts
from .token_panels import token_grid, token_sections

_CHOSEN = 4  # keypoints that are shown one by one


@dataclass(frozen=True)
class Seen:
    """What explainers may use.

    Attributes:
        model: The pose estimator.
        calls: Record of the family's parts.
        size: Height and width of the network's input, px.
        names: Of the keypoints.
        chosen: Numbers of the keypoints to show one by one.
        points: ``(J, 2)``: predicted x, y in px of the input.
    """

    model: nn.Module
    calls: Mapping[str, Call]
    size: tuple[int, int]
    names: Sequence[str]
    chosen: Sequence[int]
    points: np.ndarray


@dataclass(frozen=True)
class Explainer:
    """How a family is explained.

    Attributes:
        part: Module by which the family is known.
        parts: Model to the modules to record, under names of the family's own.
        sections: What was seen to sections of the picture.
        pictures: What was seen to pictures of the model itself.
    """

    part: type[nn.Module]
    parts: Callable[[nn.Module], dict[str, nn.Module]] = lambda model: {}
    sections: Callable[[Seen], list[Section]] = lambda seen: []
    pictures: Callable[[Seen], list[np.ndarray]] = lambda seen: []


def _token_sections(seen: Seen) -> list[Section]:
    head = find_part(seen.model, TokenPoseHead)
    columns, rows = token_grid(head)
    height, width = seen.size
    places = seen.points[list(seen.chosen)] / (width, height) * (columns, rows)
    column, row = np.clip(places.astype(int), 0, (columns - 1, rows - 1)).T
    cells = (row * columns + column).tolist()
    return token_sections(head, seen.calls, seen.names, seen.chosen, cells)


def _architecture(seen: Seen) -> list[np.ndarray]:
    net: Any = find_part(seen.model, HRNASNet)
    count = sum(p.numel() for p in net.parameters()) / 1e6
    subtitle = f'{count:.3f} M parameters, without the head'
    return [draw_architecture(net.space, net.arch, 'HR-NAS', subtitle, seen.size)]


EXPLAINERS: dict[str, Explainer] = {
    'TokenPose': Explainer(
        TokenPoseHead,
        lambda model: attention_parts(find_part(model, TokenPoseHead)),
        _token_sections,
    ),
    'X-HRNet': Explainer(
        SUSA, gates.susa_parts, lambda seen: gates.susa_sections(seen.model, seen.calls)
    ),
    'Polarized self-attention': Explainer(
        PolarizedSelfAttention,
        gates.psa_parts,
        lambda seen: gates.psa_sections(seen.model, seen.calls),
    ),
    'Lite-HRNet': Explainer(
        ConditionalChannelWeighting,
        gates.ccw_parts,
        lambda seen: gates.ccw_sections(seen.model, seen.calls),
    ),
    'HR-NAS': Explainer(HRNASNet, pictures=_architecture),
}
"""Family to what explains it; a model of several families shows all of them."""


def find_part(model: nn.Module, kind: type[nn.Module]) -> nn.Module:
    """The first module of a type."""
    return next(module for module in model.modules() if isinstance(module, kind))


def families(model: nn.Module) -> list[str]:
    """Families whose parts a model has, in the table's order."""
    modules = list(model.modules())
    return [
        name
        for name, row in EXPLAINERS.items()
        if any(isinstance(module, row.part) for module in modules)
    ]


def explain(
    model: nn.Module,
    image: np.ndarray,
    box: Sequence[float] | None = None,
    keypoints: Sequence[str] | None = None,
) -> Explanation:
    """Predict one person and tell what led to it.

    The model is listened to by hooks, and is left as it was found.

    Args:
        model: A top-down model of ``mmpose.apis.init_model`` or of an inferencer. With
            a flip test the unmirrored image is shown.
        image: ``(H, W, 3)`` ``uint8`` BGR.
        box: Left, top, right, bottom of the person, px; all of the image if not given.
        keypoints: Names of those to show one by one; four if not given.

    Raises:
        ValueError: If a keypoint is unknown.
    """
    dataset: Any = model.dataset_meta
    names = [name for _, name in sorted(dataset['keypoint_id2name'].items())]
    chosen = _choose(names, keypoints)
    rows = [EXPLAINERS[name] for name in families(model)]
    backbone: Any = model.backbone
    parts: dict[str, nn.Module] = {}
    for i, row in enumerate(rows):
        parts |= {f'{i}/{name}': part for name, part in row.parts(model).items()}
    height, width = image.shape[:2]
    whole = np.array([[0, 0, width, height]] if box is None else [box], np.float32)
    with (
        _heatmaps_kept(model),
        first_input(backbone) as inputs,
        recorded(parts) as calls,
    ):
        (sample,) = inference_topdown(model, image, whole)
    points = _in_crop(sample)
    crop = _image_of(model, inputs[0])
    sections, pictures = [_prediction(sample, names, chosen)], []
    for i, row in enumerate(rows):
        own = {
            k.partition('/')[2]: v for k, v in calls.items() if k.startswith(f'{i}/')
        }
        seen = Seen(
            model, own, (crop.shape[0], crop.shape[1]), names, chosen, points[:, :2]
        )
        sections += row.sections(seen)
        pictures += row.pictures(seen)
    return Explanation(crop, points, sections, pictures)


def _choose(names: Sequence[str], wanted: Sequence[str] | None) -> list[int]:
    if wanted is None:
        return spread(len(names), _CHOSEN)
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise ValueError(f'keypoints must be among {list(names)}, got {unknown}')
    return [names.index(name) for name in wanted]


@contextmanager
def _heatmaps_kept(model: nn.Module) -> Iterator[None]:
    """Have the head return its heatmaps, and forget it afterwards."""
    options: Any = model.test_cfg
    before = options.get('output_heatmaps', False)
    options['output_heatmaps'] = True
    try:
        yield
    finally:
        options['output_heatmaps'] = before


def _in_crop(sample: PoseDataSample) -> np.ndarray:
    """Predicted ``(J, 3)`` in px of the network's input."""
    meta, found = sample.metainfo, sample.pred_instances
    corner = meta['input_center'] - 0.5 * meta['input_scale']
    points = (found.keypoints[0] - corner) / meta['input_scale'] * meta['input_size']
    return np.concatenate([points, found.keypoint_scores[0][:, None]], axis=1)


def _prediction(
    sample: PoseDataSample, names: Sequence[str], chosen: Sequence[int]
) -> Section:
    """The skeleton, and heatmaps where the head has some."""
    panels = [Panel('input and prediction\n', skeleton=True)]
    fields = sample.get('pred_fields')
    if fields is not None and 'heatmaps' in fields:
        maps = fields.heatmaps.cpu().double().numpy()
        panels.append(Panel('largest of all heatmaps\n', maps.max(axis=0), low=0.0))
        panels += [
            Panel(
                f'{names[i].replace("_", " ")}\nmax {maps[i].max():.2f}',
                maps[i],
                low=0.0,
                marks=[i],
            )
            for i in chosen
        ]
    return Section('Prediction and heatmaps', panels)
