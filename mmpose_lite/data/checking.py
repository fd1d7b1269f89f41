"""Annotations and images checked before anything is learnt from them.

One set of checks for ``tools/check_data.py`` and ``DataGuardHook``. Three grades:

- ``fatal``: MMPose cannot load the annotations, or reads others than were meant.
- ``error``: this image or person must not be learnt from.
- ``warning``: unusual; training copes.
"""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..io.image_faults import image_faults
from ..io.images import image_facts
from .records import (
    Fault,
    image_record_faults,
    is_used,
    person_faults,
    table_faults,
)

GRADES = ('fatal', 'error', 'warning')
_AHEAD = 64  # images per worker that are under way


@dataclass(frozen=True)
class Finding:
    """Something wrong or odd.

    Attributes:
        grade: One of :data:`GRADES`.
        kind: What ``id`` is of: ``'annotations'``, ``'image'`` or ``'person'``.
        file: The image's name in the annotations, or path of the annotations.
        id: Of the image or the annotation; None of the file as a whole.
        what: A sentence.
    """

    grade: str
    kind: str
    file: str
    id: Any
    what: str

    def __str__(self) -> str:
        noun = {'person': 'annotation'}.get(self.kind, self.kind)
        name = '' if self.id is None else f' ({noun} {self.id})'
        return f'{self.file}{name}: {self.what}'


@dataclass
class Annotations:
    """A COCO file that was read and checked.

    Attributes:
        path: Of the file.
        images: Image id to its record, of images whose record is sound.
        findings: What is wrong or odd.
        counts: ``'images'``, ``'persons'`` and, of them, ``'unlabelled'``: without
            visible key points, which MMPose leaves out and COCO has many of; and
            ``'used'``: with nothing wrong, whom MMPose trains on.
    """

    path: str
    images: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, file: str, number: Any, faults: Iterable[Fault]) -> None:
        """Note faults of one thing."""
        self.findings += [Finding(f[0], kind, file, number, f[1]) for f in faults]


def check_annotations(path: str | os.PathLike[str], count: int = 0) -> Annotations:
    """Read and check a COCO key-point file.

    Args:
        path: Of the file.
        count: Key points that every person must have; 0 is what the file's own
            categories say.

    Returns:
        What was found. A file that is not COCO's is a finding, too.

    Raises:
        OSError: If the file cannot be read.
    """
    found = Annotations(os.fspath(path))
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:  # also text that is no UTF-8
        what = f'it is no json, cut off or damaged ({error})'
        found.add('annotations', found.path, None, [('fatal', what)])
        return found
    faults = list(table_faults(content))
    found.add('annotations', found.path, None, faults)
    if not any(grade == 'fatal' for grade, _ in faults):
        _check_images(found, content['images'])
        _check_persons(found, content, count)
    return found


def _check_images(found: Annotations, records: Sequence[Any]) -> None:
    """Records of images."""
    found.counts['images'] = len(records)
    names: dict[str, Any] = {}
    for place, record in enumerate(records):
        faults = list(image_record_faults(record))
        if faults:
            number = record.get('id') if isinstance(record, Mapping) else f'#{place}'
            found.add('image', found.path, number, faults)
            continue
        number, name = record['id'], record['file_name']
        if number in found.images:
            other = found.images[number]['file_name']
            what = f'its id is also that of {other}: people would get the wrong image'
            found.add('image', name, number, [('fatal', what)])
        if name in names:
            what = f'it is listed twice, as images {names[name]} and {number}'
            found.add('image', name, number, [('warning', what)])
        names[name] = number
        found.images[number] = record


def _check_persons(found: Annotations, content: Mapping[str, Any], count: int) -> None:
    """Records of people."""
    found.counts['persons'] = len(content['annotations'])
    categories = _key_points(content.get('categories'))
    seen: dict[Any, Any] = {}
    for place, record in enumerate(content['annotations']):
        if not isinstance(record, Mapping) or not isinstance(record.get('id'), int):
            what = 'it must be an object with a whole number as id'
            found.add('person', found.path, f'#{place}', [('fatal', what)])
            continue
        number = record['id']
        image = found.images.get(_hashable(record.get('image_id')))
        name = found.path if image is None else str(image['file_name'])
        if number in seen:
            what = (
                f'its id is used twice, of images {seen[number]} and '
                f'{record.get("image_id")}: MMPose would take the last for both'
            )
            found.add('person', name, number, [('fatal', what)])
        seen[number] = record.get('image_id')
        size = None if image is None else (image['width'], image['height'])
        faults = list(person_faults(record, size, categories, count))
        if faults:
            found.add('person', name, number, faults)
        points = record.get('keypoints') or []
        if all(grade == 'warning' for grade, _ in faults):
            found.counts['unlabelled'] += not any(flag > 0 for flag in points[2::3])
            found.counts['used'] += is_used(record, points)
    if not found.counts['used']:
        what = 'nobody in it can be trained on'
        found.add('annotations', found.path, None, [('fatal', what)])


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int) else None


def _key_points(categories: Any) -> Mapping[Any, int] | None:
    """Category id to its number of key points; None if the file has no categories."""
    if not isinstance(categories, list) or not categories:
        return None
    return {
        _hashable(entry.get('id')): len(entry.get('keypoints') or ())
        for entry in categories
        if isinstance(entry, Mapping)
    }


def check_images(
    images: Iterable[tuple[Any, str, tuple[float, float] | None]],
    folder: str | os.PathLike[str],
    *,
    decode: bool = False,
    workers: int = 4,
    advance: Callable[[], None] = lambda: None,
) -> Iterator[Finding]:
    """Check image files, several at a time.

    Args:
        images: Id, name and ``(width, height)`` that the annotations say, or None.
        folder: Of the files.
        decode: Whether to decode every file; otherwise heads and ends of JPEG and PNG
            files have to do.
        workers: Threads that read.
        advance: Called after each image.

    Yields:
        Findings, in the order of the images.
    """

    def look(name: str, size: tuple[float, float] | None) -> list[Fault]:
        try:
            facts = image_facts(os.path.join(folder, name), decode)
        except FileNotFoundError:
            return [('error', 'the file is missing')]
        except OSError as error:
            return [('error', f'it cannot be read ({error.strerror or error})')]
        except ValueError as error:
            return [('error', str(error))]
        return list(image_faults(facts, size))

    # A few under way at a time: results come in order, and memory stays small.
    waiting: deque[tuple[Any, str, Future[list[Fault]]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        pending = iter(images)
        while True:
            for number, name, size in pending:
                waiting.append((number, name, pool.submit(look, name, size)))
                if len(waiting) >= workers * _AHEAD:
                    break
            if not waiting:
                return
            number, name, faults = waiting.popleft()
            for grade, what in faults.result():
                yield Finding(grade, 'image', name, number, what)
            advance()


def image_list(
    found: Annotations, only: Collection[int] | None = None
) -> list[tuple[int, str, tuple[float, float]]]:
    """Images of annotations as :func:`check_images` takes them.

    Args:
        found: The annotations.
        only: Ids of the images that matter; all if not given.
    """
    return [
        (number, record['file_name'], (record['width'], record['height']))
        for number, record in found.images.items()
        if only is None or number in only
    ]
