"""What a pruned TokenPose head keeps of an image, recorded while it predicts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmpose.apis import inference_topdown
from torch import Tensor, nn


@dataclass(frozen=True)
class PruningTrace:
    """One person as the network saw it, and what each pruning layer kept.

    Attributes:
        crop: The network's input ``(H, W, 3)``, ``uint8`` BGR.
        keypoints: ``(J, 3)``: predicted x, y in px of the crop, and score.
        grid: Columns and rows of the visual tokens.
        mode: Mode of pruning, see :class:`mmpose_lite.models.layers.SparseConfig`.
        kept: Pruning layer, counted from 0, to the visual tokens that it keeps:
            ``(n,)`` where all queries share the choice, else ``(n, n)`` of query and
            key.
        joint_mask: Who sees whom in the graph layers, ``(J, J)``; None without such
            layers or where everyone sees everyone.
    """

    crop: np.ndarray
    keypoints: np.ndarray
    grid: tuple[int, int]
    mode: str
    kept: Mapping[int, np.ndarray]
    joint_mask: np.ndarray | None = None

    @property
    def per_query(self) -> bool:
        """Whether every query has a choice of its own."""
        return any(mask.ndim == 2 for mask in self.kept.values())

    def token_at(self, point: np.ndarray) -> int:
        """Visual token of a point ``(x, y)`` of the crop, the nearest if outside."""
        height, width = self.crop.shape[:2]
        cell = np.asarray(point[:2]) / (width, height) * self.grid
        column, row = np.clip(cell.astype(int), 0, np.array(self.grid) - 1)
        return int(row * self.grid[0] + column)


def trace_pruning(model: nn.Module, image: np.ndarray, box: np.ndarray) -> PruningTrace:
    """Predict one person and record what its pruning layers choose.

    Args:
        model: A top-down model of ``mmpose.apis.init_model`` with a pruned
            ``TokenPoseHead``. With a flip test the image itself is shown.
        image: ``(H, W, 3)`` ``uint8`` BGR.
        box: Left, top, right, bottom of the person, px.

    Raises:
        ValueError: If the head does not prune.
    """
    head: Any = model.head
    pruning = getattr(head, 'pruning', None)
    if pruning is None:
        raise ValueError(
            'model must have a head that prunes, so set sparse_cfg of its '
            f'TokenPoseHead; got {type(head).__name__} without'
        )
    inputs: list[Tensor] = []
    choices: dict[int, Tensor] = {}
    with ExitStack() as hooks:
        backbone: Any = model.backbone
        hooks.callback(
            backbone.register_forward_pre_hook(
                lambda _, args: inputs.append(args[0])
            ).remove
        )
        for layer, selector in pruning.selectors.items():
            hooks.callback(
                selector.register_forward_hook(
                    # The first call's stays: a flip test calls again.
                    lambda _, __, chosen, at=int(layer): choices.setdefault(at, chosen)
                ).remove
            )
        (sample,) = inference_topdown(model, image, np.asarray(box)[None])
    meta, found = sample.metainfo, sample.pred_instances
    corner = meta['input_center'] - 0.5 * meta['input_scale']
    points = (found.keypoints[0] - corner) / meta['input_scale'] * meta['input_size']
    joint_mask = head.joint_mask if len(head.graph_layers) else None
    return PruningTrace(
        crop=_image_of(model, inputs[0]),
        keypoints=np.concatenate([points, found.keypoint_scores[0][:, None]], axis=1),
        grid=pruning.grid,
        mode=pruning.config.mode,
        kept=_masks(pruning, choices),
        joint_mask=None if joint_mask is None else joint_mask.cpu().numpy(),
    )


def _image_of(model: nn.Module, batch: Tensor) -> np.ndarray:
    """Pixels of the first image of a normalised batch, BGR."""
    preprocessor: Any = model.data_preprocessor
    pixels = batch[0]
    if getattr(preprocessor, '_enable_normalize', False):
        pixels = pixels * preprocessor.std + preprocessor.mean
    crop = pixels.round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    swapped = getattr(preprocessor, '_channel_conversion', False)
    return np.ascontiguousarray(crop[..., ::-1] if swapped else crop)


def _masks(pruning: Any, choices: Mapping[int, Tensor]) -> dict[int, np.ndarray]:
    """Choices of the first image as masks over all visual tokens."""
    columns, rows = pruning.grid
    there = torch.arange(columns * rows)
    masks = {}
    for layer, chosen in choices.items():
        chosen = chosen[:1].cpu()
        if pruning.config.mode == 'token':
            # Indices count the tokens that the layer before has left.
            there = there[chosen[0]]
            mask = torch.zeros(columns * rows, dtype=torch.bool)
            mask[there] = True
        else:
            mask = pruning.as_mask(chosen)[0]
            mask = mask[0] if mask.shape[0] == 1 else mask
        masks[layer] = mask.numpy()
    return masks
