#!/usr/bin/env bash
# hotcoco 1.3.0 judges every skeleton by COCO's sigmas, in COCO's order, without a word.
#
# Expected: for keypoints that are not COCO's 17 an error that sigmas must be given, as
# pycocotools 2.0.11 ends with ("operands could not be broadcast together").
# Happens: 5 keypoints are judged by the sigmas of nose, eyes and ears, the strictest
# of COCO, and of 20 keypoints the last three are not judged at all: detections whose
# last three points are 100 px away have an average precision of 1.
# Versions: hotcoco 1.3.0, pycocotools 2.0.11, numpy 2.2.6; Python 3.10 to 3.13.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet hotcoco==1.3.0 pycocotools==2.0.11 numpy==2.2.6
cd "$folder" && env/bin/python - <<'PYTHON'
import contextlib
import io
import json

from hotcoco import COCO, COCOeval
from pycocotools import coco, cocoeval


def write(count, shift):
    """One animal of `count` points, and a detection with the last three shifted."""
    points = [[20 + 10 * i, 40] for i in range(count)]
    box = dict(image_id=1, category_id=1, bbox=[10, 10, 250, 60], area=10000.0)
    truth = dict(box, id=1, iscrowd=0, num_keypoints=count,
                 keypoints=[v for p in points for v in (*p, 2)])
    found = dict(box, score=0.9, keypoints=[
        v for i, (x, y) in enumerate(points)
        for v in (x, y + shift * (i >= count - 3), 1)])
    names = [f'p{i}' for i in range(count)]
    animal = dict(id=1, name='animal', keypoints=names, skeleton=[])
    image = dict(id=1, width=300, height=200, file_name='1.jpg')
    json.dump(dict(images=[image], annotations=[truth], categories=[animal]),
              open('truth.json', 'w'))
    json.dump([found], open('found.json', 'w'))


def precision(data, load, evaluator):
    truth = data('truth.json')
    run = evaluator(truth, getattr(truth, load)('found.json'), 'keypoints')
    run.evaluate(), run.accumulate(), run.summarize()
    return round(float(run.stats[0]), 3)


for count, shift in ((5, 3), (20, 100)):
    write(count, shift)
    ours = precision(COCO, 'load_res', COCOeval)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            theirs = precision(coco.COCO, 'loadRes', cocoeval.COCOeval)
    except ValueError as error:
        theirs = f'{type(error).__name__}: {error}'
    print(f'{count} keypoints: hotcoco AP {ours}; pycocotools {theirs}')
    assert isinstance(theirs, str) and ours == {5: 0.9, 20: 1.0}[count], ours
PYTHON
