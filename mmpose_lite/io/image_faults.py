"""What is wrong or odd about images that can be read."""

from __future__ import annotations

from collections.abc import Iterator

from .images import ImageFacts

LARGEST_SIDE = 32766
"""OpenCV cuts from images up to this size, px."""
LARGE_SIDE = 8000
SMALL_SIDE = 16


def image_faults(
    facts: ImageFacts, annotated: tuple[float, float] | None
) -> Iterator[tuple[str, str]]:
    """What is wrong or odd about an image that can be read.

    Args:
        facts: Of the image.
        annotated: ``(width, height)`` that its boxes refer to, px, if known.

    Yields:
        ``'error'`` (people in it cannot be learnt from) or ``'warning'``, and a
        sentence.
    """
    width, height = facts.size
    if min(width, height) < 2 or max(width, height) > LARGEST_SIDE:
        yield (
            'error',
            f'it is {width} x {height} px; no person can be cut from it '
            f'(sides must be 2 to {LARGEST_SIDE} px)',
        )
    elif max(width, height) > LARGE_SIDE:
        size = width * height * 3 / 2**20
        yield (
            'warning',
            f'it is {width} x {height} px, which is {size:.0f} MB for every process '
            'that loads it',
        )
    elif min(width, height) < SMALL_SIDE:
        yield 'warning', f'it is only {width} x {height} px'
    yield from _size_faults(facts, annotated)
    if facts.kind == 'CMYK':
        yield 'warning', 'it is CMYK; its colours depend on who reads it'
    if facts.kind == 'grey':
        yield 'warning', 'it is grey'
    if facts.bits > 8:
        yield 'warning', f'it has {facts.bits} bits per channel; the upper 8 are taken'


def _size_faults(
    facts: ImageFacts, annotated: tuple[float, float] | None
) -> Iterator[tuple[str, str]]:
    """Whether boxes fit the image that MMPose turns upright."""
    (width, height), turned = facts.size, facts.orientation != 1
    how = f'EXIF orientation {facts.orientation}'
    if annotated is None or tuple(annotated) == facts.size:
        if turned:
            yield (
                'warning',
                f'it is turned upright by MMPose ({how}); its boxes must be of the '
                'upright image',
            )
    elif turned and tuple(annotated) == facts.stored:
        yield (
            'error',
            f'MMPose turns it upright to {width} x {height} px ({how}), but its boxes '
            f'are of the stored {annotated[0]} x {annotated[1]} px',
        )
    else:
        yield (
            'error',
            f'it is {width} x {height} px, but the annotations say '
            f'{annotated[0]} x {annotated[1]} px',
        )
