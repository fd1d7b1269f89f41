"""The data that figures are published on, as its owners have it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from zoo.metafiles import DETECTOR, GROUND_TRUTH

COCO_IMAGES, MPII_PEOPLE = 5000, 2958  # of the whole validation parts
DETECTIONS = 'person_detection_results/COCO_val2017_detections_AP_H_56_person.json'


@dataclass(frozen=True)
class Data:
    """A data set in the folders that MMPose expects.

    Args:
        name: ``'COCO'`` or ``'MPII'``, as metafiles call it.
        root: Its folder.
        annotations: What figures are computed from, below ``root``.
        images: Folder of the images, below ``root``.
        missing: Why figures on it compare with no published ones; empty if they do.
        people: By boxes, how many people there are to find.
        detections: Boxes of a detector, if there are any.
    """

    name: str
    root: Path
    annotations: str
    images: str
    missing: str
    people: dict[str, int]
    detections: Path | None = None

    def boxes_for(self, published: str) -> str:
        """The boxes to use for figures that were published with certain ones."""
        return published if published in self.people else GROUND_TRUTH


def open_coco(root: Path, detections: Path | None, only_truth: bool) -> Data:
    """The validation part of COCO 2017.

    Args:
        root: With ``annotations`` and ``val2017``.
        detections: Boxes of a detector; those that MMPose's guide names, if not given
            and there.
        only_truth: Use no detections, even if there are any.

    Raises:
        ValueError: If something that is needed is not there.
    """
    annotations = 'annotations/person_keypoints_val2017.json'
    _check('--coco', root, annotations, 'val2017')
    if detections is not None and not detections.is_file():
        raise ValueError(f'--detections {detections} is no file')
    if detections is None and (root / DETECTIONS).is_file():
        detections = root / DETECTIONS
    content = json.loads((root / annotations).read_text(encoding='utf-8'))
    count = len(content['images'])
    labelled = [one for one in content['annotations'] if one.get('num_keypoints')]
    people = {GROUND_TRUTH: len(labelled)}
    if only_truth:
        detections = None
    elif detections is not None:
        people[DETECTOR] = len(json.loads(detections.read_text(encoding='utf-8')))
    missing = ''
    if count != COCO_IMAGES:
        missing = f'{count} images, COCO val2017 has {COCO_IMAGES}'
    return Data('COCO', root, annotations, 'val2017/', missing, people, detections)


def open_mpii(root: Path) -> Data:
    """The validation part of MPII.

    Args:
        root: With ``annotations`` and ``images``.

    Raises:
        ValueError: If something that is needed is not there.
    """
    annotations = 'annotations/mpii_val.json'
    _check('--mpii', root, annotations, 'annotations/mpii_gt_val.mat', 'images')
    count = len(json.loads((root / annotations).read_text(encoding='utf-8')))
    missing = ''
    if count != MPII_PEOPLE:
        missing = f'{count} people, MPII val has {MPII_PEOPLE}'
    people = {GROUND_TRUTH: count}
    return Data('MPII', root, annotations, 'images/', missing, people)


def _check(option: str, root: Path, *needed: str) -> None:
    absent = [name for name in needed if not (root / name).exists()]
    if absent:
        raise ValueError(
            f'{option} {root} lacks {", ".join(absent)}; docs/data.md shows the folders'
        )
