"""Draw what a pruned TokenPose keeps: ``python tools/draw_pruning.py --config CONFIG``.

Without images, toy people are drawn. ``--cfg-options model.head.sparse_cfg.mode=mask``
shows another mode with the same weights.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import numpy as np
import torch
from mmengine.config import DictAction
from mmpose.apis import init_model
from xtcocotools.coco import COCO

from mmpose_lite import explain as vis
from mmpose_lite.data import render_toy_image
from mmpose_lite.io.images import read_image


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('images', nargs='*', help='of one person each, unless --coco knows their boxes')
    add('--coco', help='COCO annotations of the images, which are found by name')
    add('--config', required=True)
    add('--checkpoint', help='random weights if not given')
    add('--out', required=True, help='PNG')
    add('--count', type=int, default=2, help='persons at most')
    add('--skip', type=int, default=0, help='persons to pass over before them')
    add('--query', help='keypoint whose patch is the query that is shown')
    add('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args()


def persons(
    images: list[str], coco_file: str | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images with a box each: left, top, right, bottom."""
    coco = COCO(coco_file) if coco_file else None
    ids = {i['file_name']: i['id'] for i in coco.dataset['images']} if coco else {}
    for path in images:
        try:
            image = read_image(path)
        except (OSError, ValueError) as error:
            raise SystemExit(f'error: {error}') from None
        boxes = [(0, 0, image.shape[1], image.shape[0])]
        if coco:
            known = coco.getAnnIds(ids[Path(path).name], iscrowd=False)
            boxes = [person['bbox'] for person in coco.loadAnns(known)]
        yield from ((image, corners(box)) for box in boxes)
    if not images:
        for index in count():
            scene = render_toy_image(0, 'val', index)
            yield from ((scene.image, corners(p.bbox)) for p in scene.persons)


def corners(box: Sequence[float]) -> np.ndarray:
    """Left, top, width, height to left, top, right, bottom."""
    left, top, width, height = box
    return np.array([left, top, left + width, top + height], np.float32)


def main() -> None:
    """Trace the persons and write the picture."""
    args = parse_args()
    torch.manual_seed(0)
    model = init_model(
        args.config, args.checkpoint, device='cpu', cfg_options=args.cfg_options
    )
    chosen = islice(persons(args.images, args.coco), args.skip, args.skip + args.count)
    try:
        traces = [vis.trace_pruning(model, image, box) for image, box in chosen]
        picture = vis.draw_pruning(traces, model.dataset_meta, args.query)
        vis.save_image(args.out, picture)
    except ValueError as error:
        raise SystemExit(f'error: {error}') from None


if __name__ == '__main__':
    main()
