"""Image files checked before anything is learnt from them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ..io.images import ImageFacts, image_facts
from .annotations import Fault, Finding

LARGEST_SIDE = 32766
"""OpenCV cuts from images up to this size, px."""
LARGE_SIDE, SMALL_SIDE = 8000, 16
_AHEAD = 64  # images per worker that are under way


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
        decode: Whether to decode every file; otherwise heads and ends of JPEG and PNG
            files have to do.
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


def image_faults(
    facts: ImageFacts, annotated: tuple[float, float] | None
) -> Iterator[Fault]:
    """What is wrong or odd about an image that can be read.

    ``annotated`` is the ``(width, height)`` that its boxes refer to, px, if known.
    """
    width, height = facts.size
    size = f'{width} x {height} px'
    if min(width, height) < 2 or max(width, height) > LARGEST_SIDE:
        wanted = f'sides must be 2 to {LARGEST_SIDE} px'
        yield 'error', f'it is {size}; no person can be cut from it ({wanted})'
    elif max(width, height) > LARGE_SIDE:
        memory = f'{width * height * 3 / 2**20:.0f} MB'
        yield 'warning', f'it is {size}, {memory} for every process that loads it'
    elif min(width, height) < SMALL_SIDE:
        yield 'warning', f'it is only {size}'
    # Boxes must fit the image that MMPose turns upright.
    turned, how = facts.orientation != 1, f'EXIF orientation {facts.orientation}'
    if annotated is None or tuple(annotated) == facts.size:
        if turned:
            what = f'it is turned upright by MMPose ({how})'
            yield 'warning', f'{what}; its boxes must be of the upright image'
    else:
        told = f'{annotated[0]} x {annotated[1]} px'
        what = f'it is {size}, but the annotations say {told}'
        if turned and tuple(annotated) == facts.stored:
            what = f'MMPose turns it upright to {size} ({how})'
            what += f', but its boxes are of the stored {told}'
        yield 'error', what
    if facts.kind == 'CMYK':
        yield 'warning', 'it is CMYK; its colours depend on who reads it'
    if facts.kind == 'grey':
        yield 'warning', 'it is grey'
    if facts.bits > 8:
        yield 'warning', f'it has {facts.bits} bits per channel; the upper 8 are taken'
