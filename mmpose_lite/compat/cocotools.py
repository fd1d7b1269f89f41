"""Stand-in for ``xtcocotools``: pycocotools with the ways that MMPose relies on.

:mod:`mmpose_lite.compat` puts it in the place of a package that is absent or does not
load. Of xtcocotools 1.14 it keeps what evaluates keypoints:

- sigmas are the caller's, of any skeleton;
- an annotation with id 0 is matched like any other;
- ``iscrowd`` may be missing, and ``num_keypoints`` where third numbers say it;
- people without keypoints, and crowds, are ignored;
- detections whose third numbers are all 0 or less are dropped;
- keypoints and scores of feet, face, hands and the whole body, and CrowdPose.

All statistics are equal to its own. Annotations are left as they were read: flags and
ids of the evaluation lie on copies, where ids of annotations are one higher, also in
``evalImgs``. Boxes and masks are pycocotools' concern.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
from pycocotools import mask

__all__ = ['COCO', 'COCOeval', 'mask']

_WHOLE = ('keypoints', 'foot_kpts', 'face_kpts', 'lefthand_kpts', 'righthand_kpts')
# Kind of evaluation → where keypoints and scores of a person lie.
_KINDS = {
    'keypoints': (_WHOLE[:1], 'score'),
    'keypoints_body': (_WHOLE[:1], 'score'),
    'keypoints_crowd': (_WHOLE[:1], 'score'),
    'keypoints_wholebody': (_WHOLE, 'wholebody_score'),
    **{
        f'keypoints_{part}': ((f'{part}_kpts',), f'{part}_score')
        for part in ('foot', 'face', 'lefthand', 'righthand')
    },
}
_CROWD_INDICES = ((-np.inf, 0.2), (0.2, 0.8), (0.8, np.inf))


class COCO(pycocotools.coco.COCO):
    """Annotations of a COCO json.

    Args:
        annotation_file: Path; None makes an object to be filled.
    """

    def __init__(self, annotation_file: str | None = None) -> None:
        super().__init__(annotation_file)
        for annotation in self.dataset.get('annotations', ()):
            annotation.setdefault('iscrowd', False)

    def loadRes(self, resFile: Any) -> Any:
        """Results, of a json file, a list of records or an array, as an object."""
        if isinstance(resFile, str):
            with open(resFile) as file:
                resFile = json.load(file)
        if len(resFile):
            return super().loadRes(resFile)
        results = COCO()
        results.dataset = dict(self.dataset, annotations=[])
        results.createIndex()
        return results


class COCOeval(pycocotools.cocoeval.COCOeval):
    """Average precision and recall of keypoints.

    Args:
        cocoGt: Annotations.
        cocoDt: Results, see :meth:`COCO.loadRes`.
        iouType: What is evaluated: 'keypoints', 'keypoints_crowd', or a part of a whole
            body, such as 'keypoints_face'.
        sigmas: One per keypoint; None is COCO's 17.
        use_area: Whether overlap is relative to the annotated areas, or to .53 of the
            boxes', for data sets without areas.

    Raises:
        ValueError: If nothing of that kind can be evaluated here.
    """

    stats: Any

    def __init__(
        self,
        cocoGt: Any = None,
        cocoDt: Any = None,
        iouType: str = 'keypoints',
        sigmas: Sequence[float] | None = None,
        use_area: bool = True,
    ) -> None:
        if iouType not in _KINDS:
            raise ValueError(
                f'iouType={iouType!r} needs xtcocotools itself; without it, allowed: '
                f'{", ".join(_KINDS)} (for boxes and masks there is pycocotools)'
            )
        super().__init__(cocoGt, cocoDt, 'keypoints')
        if sigmas is not None:
            self.params.kpt_oks_sigmas = np.asarray(sigmas)
        self.kind, self.use_area = iouType, use_area

    def _prepare(self) -> None:
        """Copies of all people, in the form that pycocotools evaluates."""
        chosen: dict[str, Any] = dict(imgIds=self.params.imgIds)
        if self.params.useCats:
            chosen['catIds'] = self.params.catIds
        self._gts, self._dts = defaultdict(list), defaultdict(list)
        parts, score = _KINDS[self.kind]
        for person in self.cocoGt.loadAnns(self.cocoGt.getAnnIds(**chosen)):
            gt = dict(person, keypoints=_joined(person, parts))
            seen = np.count_nonzero(np.array(gt['keypoints'][2::3]) > 0)
            if self.kind == 'keypoints_crowd':
                seen = gt.get('num_keypoints', seen)
            gt['iscrowd'] = gt.get('iscrowd', 0)
            gt['ignore'] = seen == 0 or gt['iscrowd']
            # pycocotools takes 0 for no match.
            gt['id'] += 1
            if not self.use_area:
                gt['area'] = gt['bbox'][2] * gt['bbox'][3] * 0.53
            self._gts[gt['image_id'], gt['category_id']].append(gt)
        missing = False
        for person in self.cocoDt.loadAnns(self.cocoDt.getAnnIds(**chosen)):
            dt = dict(person, keypoints=_joined(person, parts))
            missing |= score not in dt
            dt['score'] = dt.get(score, dt['score'])
            if np.any(np.array(dt['keypoints'][2::3]) > 0):
                self._dts[dt['image_id'], dt['category_id']].append(dt)
        if missing:
            warnings.warn(f"'{score}' not found, use 'score' instead.", stacklevel=2)

    def summarize(self) -> None:
        """Print and keep ``stats``: ten, or CrowdPose's nine (six and three silent)."""
        super().summarize()
        if self.kind != 'keypoints_crowd':
            return
        # Without medium and large, then by the crowding of images.
        overall: Any = self.stats[[0, 1, 2, 5, 6, 7]]
        crowding = []
        for low, high in _CROWD_INDICES:
            self.params.imgIds = [
                image['id']
                for image in self.cocoGt.dataset['images']
                if low <= image['crowdIndex'] < high
            ]
            with contextlib.redirect_stdout(io.StringIO()):
                self.evaluate()
                self.accumulate()
            precision = self.eval['precision'][:, :, :, 0, :]
            crowding.append(round(float(np.mean(precision)), 4))
        self.stats = np.array([*overall, *crowding])


def _joined(person: dict[str, Any], parts: Sequence[str]) -> list[float]:
    return [number for part in parts for number in person[part]]


# One module has all of the package's.
coco = cocoeval = sys.modules[__name__]
for _part, _module in dict(coco=coco, cocoeval=cocoeval, mask=mask).items():
    sys.modules[f'{__name__}.{_part}'] = _module
