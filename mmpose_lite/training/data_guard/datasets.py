"""Data sets that a run builds: why they cannot be loaded, and what is wrong in them.

``type='mmpose_lite.CocoDataset'`` in a config builds MMPose's own ``CocoDataset``, and
says what is wrong with annotations that cannot be loaded; likewise all of MMPose's.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.datasets.datasets.body import MpiiDataset
from mmpose.registry import DATASETS as MMPOSE_DATASETS

from ...data import Finding, check_annotations, check_images, image_list
from ...data.annotations import person_faults
from ...registry import DATASETS

_SHOWN = 10  # findings that a message lists
_PERIOD = 10.0  # seconds between two words on how far the check is


def explained(kind: type[BaseDataset]) -> Callable[..., BaseDataset]:
    """Function that builds and loads a data set, or raises :func:`loading_error`."""

    def load(lazy_init: bool = False, **options: Any) -> BaseDataset:
        dataset = kind(lazy_init=True, **options)
        try:
            if not lazy_init:
                dataset.full_init()
        except Exception as error:
            raise loading_error(dataset, error) from error
        return dataset

    load.METAINFO = kind.METAINFO  # type: ignore[attr-defined]  # for init_model
    return load


for _name, _kind in MMPOSE_DATASETS.module_dict.items():
    if issubclass(_kind, BaseCocoStyleDataset):
        DATASETS.register_module(_name, module=explained(_kind), force=True)


class ZeroBasedMpiiDataset(MpiiDataset):
    """MPII for training, with keypoints that count pixels from 0.

    MPII counts from 1. MMPose 1.x takes that off the centres of people only, and its
    metric adds it to predictions: a network that is trained on ``MpiiDataset`` is
    judged one pixel off. Tests keep ``MpiiDataset``, as the metric wants it.
    """

    def _load_annotations(self) -> tuple[list[dict], list[dict]]:
        instances, images = super()._load_annotations()
        for instance in instances:
            instance['keypoints'] = instance['keypoints'] - 1
        return instances, images


DATASETS.register_module(
    'ZeroBasedMpiiDataset', module=explained(ZeroBasedMpiiDataset), force=True
)


def loading_error(dataset: BaseDataset, error: Exception) -> Exception:
    """Error that names the annotations and, where it can be found, what is wrong there.

    MMPose's own errors name neither file nor id.
    """
    path = str(dataset.ann_file)
    if not os.path.isfile(path):
        return FileNotFoundError(f'{path}: there is no such file of annotations')
    if _is_coco(dataset):
        found = check_annotations(path)
        if worst := graded(found.findings, 'fatal'):
            bad = worst + graded(found.findings, 'error')
            return ValueError(listed(f'{path} cannot be used ({found})', bad))
    if isinstance(error, AssertionError) and 'not exist' in str(error):
        return FileNotFoundError(f'{path} cannot be loaded: {error}')
    return ValueError(f'{path} cannot be loaded: {type(error).__name__}: {error}')


def listed(head: str, findings: list[Finding], shown: int = _SHOWN) -> str:
    """A message with the first findings, a line each."""
    lines = [f'- {finding}' for finding in findings[:shown]]
    if len(findings) > shown:
        lines.append(f'- and {len(findings) - shown} more')
    return '\n'.join([head + (':' if lines else ''), *lines])


def graded(findings: list[Finding], grade: str) -> list[Finding]:
    """Those of one grade."""
    return [finding for finding in findings if finding.grade == grade]


def check_dataset(
    dataset: BaseDataset, images: bool, logger: MMLogger
) -> tuple[list[Finding], str]:
    """Check a data set's annotations, and the images that its samples lie in.

    The data set is fully loaded; what it holds is given in words.
    """
    findings: list[Finding] = []
    path, about = str(dataset.ann_file), []
    samples = list(_samples(dataset))
    if not samples:
        what = 'nobody in it can be trained on'
        findings.append(Finding('fatal', 'annotations', path, None, what))
    sizes: dict[Any, tuple[float, float]] = {}
    if _is_coco(dataset):
        points = int(dataset.metainfo.get('num_keypoints', 0))
        if type(dataset).parse_data_info is not BaseCocoStyleDataset.parse_data_info:
            points = 0  # theirs are put together from several lists
        found = check_annotations(path, points)
        findings += found.findings
        about.append(str(found))
        sizes = {number: size for number, _, size in image_list(found)}
    elif isinstance(dataset, BaseCocoStyleDataset):
        findings += _sample_findings(dataset)
    if images and _reads_local_files(dataset):
        files = {s[0]: (s[0], s[1], sizes.get(s[0])) for s in samples}
        say = _progress(logger, path, len(files))
        findings += check_images(files.values(), '', advance=say)
    if odd := len(graded(findings, 'warning')):
        about.append(f'{odd} warnings, which `mmpose-lite check-data` lists')
    return findings, '; '.join(about)


def damaged_ids(findings: list[Finding], kind: str) -> frozenset[Any]:
    """Ids of the images or the annotations (persons) not to learn from."""
    return frozenset(f.id for f in graded(findings, 'error') if f.kind == kind)


def count_lost(dataset: BaseDataset, findings: list[Finding]) -> int:
    """How many samples the errors concern."""
    images, persons = (damaged_ids(findings, kind) for kind in ('image', 'person'))
    return sum(
        image in images or not persons.isdisjoint(ids)
        for image, _, ids in _samples(dataset)
    )


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


def _sample_findings(dataset: BaseDataset) -> Iterator[Finding]:
    """Findings of people as MMPose has read them, whatever their file looks like."""
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


def _progress(logger: MMLogger, path: str, total: int) -> Callable[[], None]:
    done, begun = 0, time.monotonic()
    said = begun

    def advance() -> None:
        nonlocal done, said
        done, now = done + 1, time.monotonic()
        if now - said >= _PERIOD:
            said, left = now, (now - begun) / done * (total - done)
            logger.info(
                f'{path}: {done} of {total} images checked, about {left:.0f} s left'
            )

    return advance
