"""PCK of poses that ignore the image: ``tools/constant_pose.py TRAIN.json VAL.json``.

A network that has learnt anything of the image must beat two constant poses: the median
pose of the first file, and the pose whose every keypoint lies where most of the first
file are near. Both files are annotations in COCO's format; poses are relative to the
box, as a top-down network's crop is.
"""

import argparse
import json
from pathlib import Path

import numpy as np

PADDING, ASPECT = 1.25, 0.75  # of MMPose's crops and of 128x96 inputs (W / H)


def load(path):
    """Poses in units of their crop, what is labelled, crops over the box's side."""
    people = json.loads(path.read_text())['annotations']
    keypoints = np.array([one['keypoints'] for one in people], float)
    keypoints = keypoints.reshape(len(people), -1, 3)
    box = np.array([one['bbox'] for one in people], float)
    width = np.maximum(box[:, 2], box[:, 3] * ASPECT) * PADDING
    crop = np.stack((width, width / ASPECT), -1)
    centre = box[:, :2] + box[:, 2:] / 2
    poses = (keypoints[..., :2] - centre[:, None]) / crop[:, None]
    return poses, keypoints[..., 2] > 0, crop / box[:, 2:].max(1, keepdims=True)


def near(data, k, place, threshold):
    """Share of the labelled keypoints ``k`` that are near a place."""
    poses, labelled, size = data
    seen = labelled[:, k]
    offset = (poses[seen, k] - place) * size[seen]
    return (np.linalg.norm(offset, axis=-1) < threshold).mean() if seen.any() else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('train', type=Path)
    parser.add_argument('val', type=Path)
    parser.add_argument('--threshold', type=float, default=0.1)
    args = parser.parse_args()
    train, val = load(args.train), load(args.val)
    steps = np.linspace(-0.5, 0.5, 41)
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    found = {'median': [], 'best': []}
    for k in range(train[0].shape[1]):
        hits = [near(train, k, place, args.threshold) for place in grid]
        median = np.median(train[0][train[1][:, k], k], 0)
        for name, place in (('median', median), ('best', grid[np.argmax(hits)])):
            found[name].append(near(val, k, place, args.threshold))
    for name, shares in found.items():
        print(f'{name:6} {np.mean([s for s in shares if s is not None]):.3f}')


if __name__ == '__main__':
    main()
