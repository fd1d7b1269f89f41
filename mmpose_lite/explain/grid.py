"""Grids of images with predicted skeletons beside the true ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.structures import InstanceData
from mmpose.apis import inference_topdown
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer
from torch import nn
from xtcocotools.coco import COCO

from ..io.files import write_atomically
from ..io.images import read_image

TITLES = ('ground truth', 'predicted')
_PAPER = 255  # white
_GAP = 8  # px between cells
_BAR = 26  # px, height of a title


@dataclass(frozen=True)
class PosedImage:
    """An image with N persons of K keypoints.

    Attributes:
        image: ``(H, W, 3)`` ``uint8`` BGR.
        boxes: ``(N, 4)``: left, top, right, bottom, px.
        truth: ``(N, K, 3)``: x, y in px and COCO's visibility flag.
        predicted: ``(N, K, 3)``: x, y in px and score.
    """

    image: np.ndarray
    boxes: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3:
            raise ValueError(f'image must be (H, W, 3), got {self.image.shape}')
        if self.boxes.shape != (len(self.boxes), 4):
            raise ValueError(f'boxes must be (N, 4), got {self.boxes.shape}')
        for name in ('truth', 'predicted'):
            shape = getattr(self, name).shape
            if len(shape) != 3 or shape[0] != len(self.boxes) or shape[2] != 3:
                raise ValueError(
                    f'{name} must be ({len(self.boxes)}, K, 3), got {shape}'
                )


def draw_pose_grid(
    items: Sequence[PosedImage],
    dataset_meta: Mapping[str, Any],
    columns: int = 2,
    zoom: float = 1.0,
    score_threshold: float = 0.2,
) -> np.ndarray:
    """Draw images in cells: left the true skeletons, right the predicted ones.

    Args:
        items: Images of one size.
        dataset_meta: Names, links and colours, as a MMPose model carries them.
        columns: Cells in a row, at least 1.
        zoom: Factor on the images' size, above 0 to 8.
        score_threshold: Predicted joints below this score are not drawn.

    Returns:
        The grid ``(H, W, 3)``, ``uint8`` BGR.

    Raises:
        ValueError: If there are no items, their sizes differ, or a number is out of
            range.
    """
    if not items:
        raise ValueError('items must hold at least one image, got none')
    sizes = {item.image.shape for item in items}
    if len(sizes) > 1:
        raise ValueError(f'items must be images of one size, got {sorted(sizes)}')
    if columns < 1:
        raise ValueError(f'columns must be at least 1, got {columns}')
    if not 0 < zoom <= 8:
        raise ValueError(f'zoom must be above 0 and at most 8, got {zoom}')
    painter = PoseLocalVisualizer(name='pose_grid', line_width=2, radius=2)
    painter.set_dataset_meta(dict(dataset_meta))
    cells = [_draw_cell(painter, item, zoom, score_threshold) for item in items]
    blank = np.full_like(cells[0], _PAPER)
    cells += [blank] * (-len(cells) % min(columns, len(cells)))
    columns = min(columns, len(items))
    rows = [
        np.concatenate(cells[i : i + columns], axis=1)
        for i in range(0, len(cells), columns)
    ]
    title = _draw_titles(rows[0].shape[1], columns)
    return np.concatenate([title, *rows], axis=0)


def _draw_cell(
    painter: PoseLocalVisualizer, item: PosedImage, zoom: float, threshold: float
) -> np.ndarray:
    size = tuple(round(side * zoom) for side in item.image.shape[1::-1])
    image = cv2.resize(item.image, size, interpolation=cv2.INTER_CUBIC)
    sample = PoseDataSample(
        gt_instances=_instances(item, item.truth, item.truth[..., 2] > 0, zoom),
        pred_instances=_instances(
            item, item.predicted, item.predicted[..., 2] >= threshold, zoom
        ),
    )
    # The visualizer works in RGB and puts truth and prediction side by side itself.
    pair = painter.add_datasample(
        'grid', np.ascontiguousarray(image[..., ::-1]), sample, kpt_thr=0.5
    )[..., ::-1]
    return cv2.copyMakeBorder(
        np.ascontiguousarray(pair), 0, _GAP, 0, _GAP, cv2.BORDER_CONSTANT,
        value=(_PAPER,) * 3,
    )  # fmt: skip


def _instances(
    item: PosedImage, keypoints: np.ndarray, shown: np.ndarray, zoom: float
) -> InstanceData:
    return InstanceData(
        bboxes=item.boxes * zoom,
        keypoints=keypoints[..., :2] * zoom,
        keypoints_visible=shown.astype(np.float32),
    )


def _draw_titles(width: int, columns: int) -> np.ndarray:
    bar = np.full((_BAR, width, 3), _PAPER, np.uint8)
    half = width / columns / len(TITLES)
    for i in range(columns * len(TITLES)):
        text = TITLES[i % len(TITLES)]
        (extent, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
        left = round((i + 0.5) * half - extent / 2)
        cv2.putText(
            bar, text, (left, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1,
            cv2.LINE_AA,
        )  # fmt: skip
    return bar


def predict_posed_images(
    model: nn.Module,
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    count: int = 8,
) -> list[PosedImage]:
    """Run a top-down model on the first images of a COCO file, in their true boxes.

    Args:
        model: A model of ``mmpose.apis.init_model``.
        annotation_file: COCO keypoint json.
        image_dir: Folder of its images.
        count: Number of images, at least 1.

    Returns:
        The images with truth and prediction, those with persons only.

    Raises:
        OSError: If an image cannot be read.
        ValueError: If ``count`` is below 1, or a file is damaged or no image.
    """
    if count < 1:
        raise ValueError(f'count must be at least 1, got {count}')
    coco = COCO(os.fspath(annotation_file))
    items: list[PosedImage] = []
    for record in coco.loadImgs(sorted(coco.getImgIds())):
        persons = coco.loadAnns(coco.getAnnIds(record['id'], iscrowd=False))
        if not persons:
            continue
        path = Path(image_dir) / record['file_name']
        image = read_image(path)
        boxes = np.array([person['bbox'] for person in persons], np.float32)
        boxes[:, 2:] += boxes[:, :2]
        found = [s.pred_instances for s in inference_topdown(model, image, boxes)]
        predicted = [
            np.concatenate([p.keypoints[0], p.keypoint_scores[0][:, None]], 1)
            for p in found
        ]
        truth = np.array([p['keypoints'] for p in persons], np.float32)
        truth = truth.reshape(len(persons), -1, 3)
        items.append(PosedImage(image, boxes, truth, np.stack(predicted)))
        if len(items) == count:
            break
    return items


def save_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write an image so that the file exists either whole or not at all.

    Args:
        path: Where to; the suffix chooses the format.
        image: ``(H, W, 3)`` ``uint8`` BGR.

    Raises:
        ValueError: If the suffix names no image format.
    """
    path = Path(path)
    if not cv2.haveImageWriter(path.name):
        raise ValueError(f'path must end in an image suffix, got {path.name!r}')
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(path.suffix, image)
    write_atomically(path, data.tobytes())
