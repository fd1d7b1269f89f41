"""Annotations that MMPose cannot load, explained with file and id."""

from __future__ import annotations

import functools
import os

from mmpose.datasets.datasets.base import BaseCocoStyleDataset

from ..data.checking import Annotations, Finding, check_annotations

SHOWN = 10  # findings that a message lists


def explain_failed_loading() -> None:
    """Let MMPose's data sets say which file, and what in it, they failed on.

    MMPose builds data sets before any hook is called, and its errors name neither file
    nor id. From this call on the errors of this process do. A data set that loads is
    not touched, and further calls change nothing.
    """
    original = BaseCocoStyleDataset.full_init
    if hasattr(original, '_mmpose_lite'):
        return

    @functools.wraps(original)
    def full_init(self: BaseCocoStyleDataset) -> None:
        try:
            original(self)
        except Exception as error:
            # Who looks whether data are there asks for that error.
            there = os.path.isfile(str(self.ann_file))
            kind = ValueError if there else FileNotFoundError
            raise kind(_explanation(self, error)) from error

    full_init._mmpose_lite = True  # type: ignore[attr-defined]
    BaseCocoStyleDataset.full_init = full_init


def _explanation(dataset: BaseCocoStyleDataset, error: Exception) -> str:
    """What is wrong with the annotations, else what MMPose said."""
    path = str(dataset.ann_file)
    if not os.path.isfile(path):
        return f'{path}: there is no such file of annotations'
    found = check_annotations(path)
    worst, bad = (
        [f for f in found.findings if f.grade == grade] for grade in ('fatal', 'error')
    )
    if worst:
        return listed(f'{path} cannot be used ({counts(found)})', worst + bad)
    return f'{path} cannot be loaded: {type(error).__name__}: {error}'


def counts(found: Annotations) -> str:
    """Numbers of images and persons in words."""
    return (
        f'{found.counts["images"]} images, {found.counts["persons"]} annotations, '
        f'{found.counts["unlabelled"]} of them without visible key points'
    )


def listed(head: str, findings: list[Finding], shown: int = SHOWN) -> str:
    """A message with the first findings, a line each."""
    lines = [f'- {finding}' for finding in findings[:shown]]
    if len(findings) > shown:
        lines.append(f'- and {len(findings) - shown} more')
    return '\n'.join([head + (':' if lines else ''), *lines])
