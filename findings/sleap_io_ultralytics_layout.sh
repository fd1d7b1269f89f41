#!/usr/bin/env bash
# sleap-io 0.9.5 reads no instances, without a word, from a YOLO-pose folder in the
# layout of Ultralytics' own data sets.
#
# Expected: `images/train/a.jpg` with `labels/train/a.txt` (as data.yaml of COCO-pose and
# the documentation of Ultralytics have it) gives the same as `train/images`, `train/labels`.
# Happens: one frame without instances for the first, the labelled person for the second.
# Versions: sleap-io 0.9.5, OpenCV 4.12.0.88, numpy 2.2.6; Python 3.11 and 3.12.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet \
    sleap-io==0.9.5 opencv-python-headless==4.12.0.88 numpy==2.2.6
cd "$folder" && env/bin/python - <<'PYTHON'
from pathlib import Path

import cv2
import numpy as np
import sleap_io

# Class, box (centre and size) and three points with their visibility, in parts of 1.
LABEL = '0 0.5 0.5 0.4 0.6  0.4 0.3 2  0.6 0.3 2  0.5 0.7 2\n'
DATA = 'train: {0}\nval: {0}\nkpt_shape: [3, 3]\nflip_idx: [1, 0, 2]\nnames: {{0: cat}}\n'
found = {}
for images, labels in (('images/train', 'labels/train'), ('train/images', 'train/labels')):
    root = Path(images.replace('/', '_'))
    for part in (images, labels):
        (root / part).mkdir(parents=True)
    cv2.imwrite(str(root / images / 'a.jpg'), np.full((100, 200, 3), 128, np.uint8))
    (root / labels / 'a.txt').write_text(LABEL)
    (root / 'data.yaml').write_text('path: .\n' + DATA.format(images))
    frames = sleap_io.load_ultralytics(str(root)).labeled_frames
    points = [one.numpy().tolist() for frame in frames for one in frame.instances]
    found[images] = (len(frames), points)
    print(f'{images}: {len(frames)} frame, instances {points}')
points = [[[80.0, 30.0], [120.0, 30.0], [100.0, 70.0]]]
assert found == {'images/train': (1, []), 'train/images': (1, points)}
PYTHON
