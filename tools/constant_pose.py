"""PCK of poses that ignore the image: ``tools/constant_pose.py TRAIN.json VAL.json``.

Prints the PCK that two constant poses reach on the second file: the median pose of the
first, and the pose whose every joint lies where most joints of the first are near. A
network that has learnt anything of the image must beat them. Both files are annotations
in COCO's format; poses are relative to the box, as a top-down network's crop is.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PADDING, ASPECT = 1.25, 0.75  # of MMPose's crops and of 128x96 inputs (W / H)


def load(path: Path) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Poses in units of their crop, what of them is labelled, and crop sizes.

    Returns:
        ``(N, K, 2)``, ``(N, K)``, and ``(N, 3)``: width and height of the crop and the
        larger side of the box, px.
    """
    poses, labelled, sizes = [], [], []
    for person in json.loads(path.read_text())['annotations']:
        joints = np.array(person['keypoints'], float).reshape(-1, 3)
        x, y, width, height = person['bbox']
        crop = max(width, height * ASPECT) * PADDING
        size = np.array([crop, crop / ASPECT])
        poses.append((joints[:, :2] - [x + width / 2, y + height / 2]) / size)
        labelled.append(joints[:, 2] > 0)
        sizes.append([*size, max(width, height)])
    return np.array(poses), np.array(labelled), np.array(sizes)


def distances(poses: Floats, place: Floats, sizes: Floats) -> Floats:
    """Distances ``(N,)`` of one joint to a place, over the larger side of the box."""
    return np.linalg.norm((poses - place) * sizes[:, :2], axis=-1) / sizes[:, 2]


def constant_poses(
    train: tuple[Floats, NDArray[np.bool_], Floats], threshold: float
) -> dict[str, Floats]:
    """The two constant poses, each ``(K, 2)``."""
    poses, labelled, sizes = train
    steps = np.linspace(-0.5, 0.5, 41)
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    median, best = [], []
    for k in range(poses.shape[1]):
        seen = labelled[:, k]
        median.append(np.median(poses[seen, k], 0))
        hits = [
            (distances(poses[seen, k], place, sizes[seen]) < threshold).mean()
            for place in grid
        ]
        best.append(grid[int(np.argmax(hits))])
    return dict(median=np.array(median), best=np.array(best))


def pck(
    pose: Floats, val: tuple[Floats, NDArray[np.bool_], Floats], threshold: float
) -> float:
    """Mean over joints of the share of labelled ones within the threshold."""
    poses, labelled, sizes = val
    shares = [
        (distances(poses[seen, k], pose[k], sizes[seen]) < threshold).mean()
        for k, seen in enumerate(labelled.T)
        if seen.any()
    ]
    return float(np.mean(shares))


def main() -> None:
    """Read both files and print both figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('train', type=Path)
    parser.add_argument('val', type=Path)
    parser.add_argument('--threshold', type=float, default=0.1)
    args = parser.parse_args()
    val = load(args.val)
    for name, pose in constant_poses(load(args.train), args.threshold).items():
        print(f'{name:6} {pck(pose, val, args.threshold):.3f}')


if __name__ == '__main__':
    main()
