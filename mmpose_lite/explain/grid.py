"""Grids of images with predicted skeletons beside the true ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmpose.apis import inference_topdown
from torch import nn

from ..data.coco import read_coco
from ..io.images import read_image

_GAP = 8  # px between cells
_BAR = 26  # px, height of a title


@dataclass(frozen=True)
class PosedImage:
    """An image with N persons of K keypoints.

    Attributes:
        image: ``(H, W, 3)`` ``uint8`` BGR.
        truth: ``(N, K, 3)``: x, y in px and COCO's visibility flag.
        predicted: ``(N, K, 3)``: x, y in px and score.
    """

    image: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray


def draw_pose_grid(
    items: Sequence[PosedImage],
    dataset_meta: Mapping[str, Any],
    columns: int = 2,
    zoom: float = 1.0,
    score_threshold: float = 0.2,
) -> np.ndarray:
    """Picture of images in cells: left the true skeletons, right the predicted ones.

    Args:
        items: Images of one size, at least one.
        columns: Cells in a row, at least 1.
        zoom: Factor on the images' size, above 0 to 8.
        score_threshold: Predicted keypoints below this score are not drawn.

    Returns:
        ``(H, W, 3)``, ``uint8`` BGR.
    """
    sizes = {item.image.shape for item in items}
    if len(sizes) != 1:
        raise ValueError(f'items must be images of one size, got {sorted(sizes)}')
    if columns < 1:
        raise ValueError(f'columns must be at least 1, got {columns}')
    if not 0 < zoom <= 8:
        raise ValueError(f'zoom must be above 0 and at most 8, got {zoom}')
    cells = []
    for item in items:
        image = cv2.resize(item.image, None, None, zoom, zoom, cv2.INTER_CUBIC)
        labelled = item.truth[..., 2] > 0
        sure = item.predicted[..., 2] >= score_threshold
        pair = [
            _with_skeletons(image, points[..., :2] * zoom, shown, dataset_meta)
            for points, shown in ((item.truth, labelled), (item.predicted, sure))
        ]
        cell = np.concatenate(pair, axis=1)
        cells.append(np.pad(cell, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255))
    columns = min(columns, len(cells))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    starts = range(0, len(cells), columns)
    rows = [np.concatenate(cells[i : i + columns], axis=1) for i in starts]
    bar = np.full((_BAR, rows[0].shape[1], 3), 255, np.uint8)
    grid = np.concatenate([bar, *rows])
    half = grid.shape[1] / columns / 2
    for i, title in enumerate(('ground truth', 'predicted') * columns):
        font = cv2.FONT_HERSHEY_SIMPLEX, 0.5
        (extent, _), _ = cv2.getTextSize(title, *font, 1)
        left = round((i + 0.5) * half - extent / 2)
        cv2.putText(grid, title, (left, 18), *font, (40, 40, 40), 1, cv2.LINE_AA)
    return grid


def _with_skeletons(
    image: np.ndarray, points: np.ndarray, shown: np.ndarray, meta: Mapping[str, Any]
) -> np.ndarray:
    """A copy with persons ``(N, K, 2)`` of which the keypoints ``(N, K)`` are shown."""
    drawn = image.copy()
    links, colours = meta['skeleton_links'], meta['skeleton_link_colors']
    for person, seen in zip(points.round().astype(int).tolist(), shown, strict=True):
        # Colours of MMPose's are RGB.
        for (i, j), rgb in zip(links, colours, strict=True):
            if seen[i] and seen[j]:
                colour = [int(part) for part in rgb[::-1]]
                cv2.line(drawn, person[i], person[j], colour, 2, cv2.LINE_AA)
        for k in np.flatnonzero(seen):
            colour = [int(part) for part in meta['keypoint_colors'][k][::-1]]
            cv2.circle(drawn, person[k], 2, colour, -1, cv2.LINE_AA)
    return drawn


def predict_posed_images(
    model: nn.Module,
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    count: int = 8,
) -> list[PosedImage]:
    """Predictions of a top-down model in the true boxes of a COCO file's first images.

    Only images with persons are taken, ``count`` at most and at least 1.
    """
    if count < 1:
        raise ValueError(f'count must be at least 1, got {count}')
    items: list[PosedImage] = []
    for record in sorted(read_coco(annotation_file), key=lambda record: record.id):
        if not record.people or len(items) == count:
            continue
        image = read_image(Path(image_dir) / record.name)
        boxes = np.array([person.box for person in record.people], np.float32)
        found = [s.pred_instances for s in inference_topdown(model, image, boxes)]
        predicted = [np.dstack([p.keypoints, p.keypoint_scores]) for p in found]
        truth = np.array([person.keypoints for person in record.people])
        items.append(PosedImage(image, truth, np.concatenate(predicted)))
    return items
