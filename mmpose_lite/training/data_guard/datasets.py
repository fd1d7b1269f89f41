"""Data sets that a run builds: why they cannot be loaded, and what is wrong in them."""

from __future__ import annotations

import math
import os
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmpose.datasets.datasets.base import BaseCocoStyleDataset

from ...data import Finding, check_annotations, check_images, image_list
from ...data.annotations import person_faults

SHOWN = 10  # findings that a message lists
_PERIOD = 10.0  # seconds between two words on how far the check is
_WAITING: set[object] = set()  # who has the loading of data sets explained


def explain_loading(owner: object) -> weakref.finalize:
    """Let MMPose's data sets say which file, and what in it, they fail on.

    MMPose builds a run's data sets before it calls any hook, and its errors name
    neither file nor id. Until it is ended the errors of this process do; a data set
    that loads is not touched.

    Args:
        owner: Whose end is the end of this, too.

    Returns:
        What ends it when it is called.
    """
    token = object()
    _WAITING.add(token)
    BaseCocoStyleDataset.full_init = _explained_full_init
    return weakref.finalize(owner, _stop_explaining, token)


def _stop_explaining(token: object) -> None:
    _WAITING.discard(token)
    if not _WAITING:
        del BaseCocoStyleDataset.full_init  # what it inherits is left


def _explained_full_init(dataset: BaseCocoStyleDataset) -> None:
    """Load the annotations, or raise what explains why they cannot be loaded."""
    try:
        BaseDataset.full_init(dataset)
    except Exception as error:
        path = str(dataset.ann_file)
        if not os.path.isfile(path):
            what = f'{path}: there is no such file of annotations'
            raise FileNotFoundError(what) from error
        if _is_coco(dataset):
            found = check_annotations(path)
            if worst := [f for f in found.findings if f.grade == 'fatal']:
                bad = [f for f in found.findings if f.grade == 'error']
                head = f'{path} cannot be used ({found})'
                raise ValueError(listed(head, worst + bad)) from error
        missing = isinstance(error, AssertionError) and 'not exist' in str(error)
        kind = FileNotFoundError if missing else ValueError
        reason = str(error) if missing else f'{type(error).__name__}: {error}'
        raise kind(f'{path} cannot be loaded: {reason}') from error


def listed(head: str, findings: list[Finding], shown: int = SHOWN) -> str:
    """A message with the first findings, a line each."""
    lines = [f'- {finding}' for finding in findings[:shown]]
    if len(findings) > shown:
        lines.append(f'- and {len(findings) - shown} more')
    return '\n'.join([head + (':' if lines else ''), *lines])


@dataclass
class Checked:
    """What was found out about a data set.

    Attributes:
        findings: What is wrong or odd.
        about: What it holds, in words.
    """

    findings: list[Finding] = field(default_factory=list)
    about: str = ''

    @property
    def images(self) -> set[Any]:
        """Ids of images not to learn from."""
        return self._ids('image')

    @property
    def persons(self) -> set[Any]:
        """Ids of annotations not to learn from."""
        return self._ids('person')

    def _ids(self, kind: str) -> set[Any]:
        bad = (f for f in self.findings if f.kind == kind and f.grade == 'error')
        return {f.id for f in bad}

    def of(self, grade: str) -> list[Finding]:
        """Findings of one grade."""
        return [f for f in self.findings if f.grade == grade]


def check_dataset(dataset: BaseDataset, images: bool, logger: MMLogger) -> Checked:
    """Check a data set's annotations, and the images that its samples lie in.

    Args:
        dataset: Fully loaded.
        images: Whether to look at image files.
        logger: For how far the check is.
    """
    checked, path = Checked(), str(dataset.ann_file)
    samples = list(_samples(dataset))
    if not samples:
        what = 'nobody in it can be trained on'
        checked.findings.append(Finding('fatal', 'annotations', path, None, what))
    sizes: dict[Any, tuple[float, float]] = {}
    if _is_coco(dataset):
        points = int(dataset.metainfo.get('num_keypoints', 0))
        if type(dataset).parse_data_info is not BaseCocoStyleDataset.parse_data_info:
            points = 0  # theirs are put together from several lists
        found = check_annotations(path, points)
        checked.findings += found.findings
        checked.about = str(found)
        sizes = {number: size for number, _, size in image_list(found)}
    elif isinstance(dataset, BaseCocoStyleDataset):
        checked.findings += _sample_findings(dataset)
    if images and _reads_local_files(dataset):
        files = {s[0]: (s[0], s[1], sizes.get(s[0])) for s in samples}
        say = _Progress(logger, path, len(files))
        checked.findings += check_images(files.values(), '', advance=say)
    odd = len(checked.of('warning'))
    if odd:
        listed = f'{odd} warnings, which `mmpose-lite check-data` lists'
        checked.about = '; '.join(filter(None, (checked.about, listed)))
    return checked


def _is_coco(dataset: BaseDataset) -> bool:
    """Whether the annotations are a COCO file, read by MMPose's own reader."""
    reader = getattr(type(dataset), '_load_annotations', None)
    own = reader is BaseCocoStyleDataset._load_annotations
    return own and os.path.isfile(str(dataset.ann_file))


def _reads_local_files(dataset: BaseDataset) -> bool:
    """Whether paths are those of files here, and not of some other storage."""
    steps = getattr(dataset.pipeline, 'transforms', ())
    storages = [getattr(step, 'backend_args', None) or {} for step in steps]
    return all(storage.get('backend', 'local') == 'local' for storage in storages)


def _samples(dataset: BaseDataset) -> Iterator[tuple[Any, str, list[Any]]]:
    """Image id, image path and annotation ids of every sample that names an image."""
    for index in range(len(dataset)):
        info = BaseDataset.get_data_info(dataset, index)
        path, number = info.get('img_path'), info.get('id')
        if isinstance(path, str):
            ids = number if isinstance(number, (list, tuple)) else [number]
            yield info.get('img_id'), path, list(ids)


def count_lost(dataset: BaseDataset, checked: Checked) -> int:
    """How many samples the errors concern."""
    images, persons = checked.images, checked.persons
    return sum(
        image in images or not persons.isdisjoint(ids)
        for image, _, ids in _samples(dataset)
    )


def _sample_findings(dataset: BaseDataset) -> Iterator[Finding]:
    """Findings on samples of other formats than COCO's, after MMPose has read them."""
    for index in range(len(dataset)):
        info = BaseDataset.get_data_info(dataset, index)
        boxes, points = info.get('bbox'), info.get('keypoints')
        visible = info.get('keypoints_visible')
        if boxes is None or points is None or visible is None or len(boxes) != 1:
            continue
        left, top, right, bottom = boxes[0].tolist()
        flat = [
            float(value)
            for place, flag in zip(points[0], visible[0], strict=True)
            for value in (*place[:2], np.ravel(flag)[0])
        ]
        box = [left, top, right - left, bottom - top]
        record = dict(bbox=box, keypoints=flat, category_id=1)
        for grade, what in person_faults(record, (math.inf, math.inf), None):
            yield Finding(grade, 'person', info['img_path'], info.get('id'), what)


class _Progress:
    """Says in the log how far the check of image files is."""

    def __init__(self, logger: MMLogger, path: str, total: int) -> None:
        self._logger = logger
        self._path, self._total, self._done = path, total, 0
        self._begun = self._said = time.monotonic()

    def __call__(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._said >= _PERIOD:
            self._said = now
            left = (now - self._begun) / self._done * (self._total - self._done)
            self._logger.info(
                f'{self._path}: {self._done} of {self._total} images checked, about '
                f'{left:.0f} s left'
            )
