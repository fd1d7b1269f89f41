"""What an image file holds, told from its first and last bytes where that is enough.

MMPose reads with OpenCV, which turns images as their EXIF data say, makes three
channels of eight bits of everything, and returns half an image of some files that are
cut off. What is told here is what MMPose will see.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

import cv2
import numpy as np
from numpy.typing import NDArray

ORIENTATION = 0x0112
"""The tag of EXIF that says how an image must be turned, 1 (as it is) to 8."""

_PNG = b'\x89PNG\r\n\x1a\n'
_PNG_END = re.compile(rb'IEND.{4}', re.DOTALL)
_TAIL = 64  # bytes at the end of a file among which its end is looked for
# Markers of JPEG that begin a frame, whose head tells the size.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_KINDS = {1: 'grey', 3: 'colour', 4: 'CMYK'}
_PNG_KINDS = {0: 'grey', 2: 'colour', 3: 'colour', 4: 'grey', 6: 'colour'}


@dataclass(frozen=True)
class ImageFacts:
    """What is known of an image.

    Attributes:
        stored: ``(width, height)`` in the file, px.
        kind: ``'colour'``, ``'grey'`` or ``'CMYK'``.
        bits: Per channel.
        orientation: Of EXIF; 1 is upright.
    """

    stored: tuple[int, int]
    kind: str = 'colour'
    bits: int = 8
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` of the upright image, px: that which MMPose sees."""
        return self.stored[::-1] if self.orientation > 4 else self.stored


@dataclass(frozen=True)
class _Head:
    """Facts, the place behind them, and whether there is no need to decode."""

    facts: ImageFacts
    place: int
    sure: bool


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """An image file, upright as its EXIF data say.

    Args:
        path: Of the file.

    Returns:
        ``(H, W, 3)``, BGR.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut off, damaged or no image (the message names it).
    """
    try:
        image_facts(path)  # OpenCV makes half an image of some files that are cut off
    except ValueError as error:
        raise ValueError(f'{os.fspath(path)}: {error}') from None
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'{os.fspath(path)}: it is damaged or no image')
    return cast('NDArray[np.uint8]', image)


def image_facts(path: str | os.PathLike[str], decode: bool = False) -> ImageFacts:
    """Size and kind of an image file.

    A JPEG or PNG file that has a sound head and a proper end is not decoded unless it
    is asked for; every other file is.

    Args:
        path: Of the file.
        decode: Whether to decode the file in any case.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If OpenCV, and so MMPose, cannot make a whole image of it.
    """
    with open(path, 'rb') as file:
        head = _read_head(file)
        if head is not None and head.sure and not decode:
            return head.facts
        file.seek(0)
        data = file.read()
    return _decoded(data, head)


def _read_head(file: BinaryIO) -> _Head | None:
    """Head of a JPEG or PNG file; None of others and of damaged ones."""
    start = file.read(len(_PNG))
    try:
        if start.startswith(b'\xff\xd8'):
            return _jpeg_head(file)
        return _png_head(file) if start == _PNG else None
    except struct.error:  # the file ends within its head
        return None


def _jpeg_head(file: BinaryIO) -> _Head | None:
    """Walk the segments before the image data."""
    file.seek(2)
    orientation = 0
    while (marker := _next_marker(file)) is not None:
        (length,) = struct.unpack('>H', file.read(2))
        if marker in _FRAMES:
            bits, height, width, channels = struct.unpack('>BHHB', file.read(6))
            if not width or not height or channels not in _JPEG_KINDS:
                return None
            kind = _JPEG_KINDS[channels]
            facts = ImageFacts((width, height), kind, bits, orientation or 1)
            place = file.tell()
            return _Head(facts, place, b'\xff\xd9' in _tail(file, place))
        if marker == 0xE1 and not orientation:
            body = file.read(length - 2)
            if body.startswith(b'Exif\0\0'):
                orientation = _orientation(body[6:])
        else:
            file.seek(length - 2, os.SEEK_CUR)
    return None


def _next_marker(file: BinaryIO) -> int | None:
    """Code of the next segment that has a length; None where image data begin."""
    first, code = file.read(1), file.read(1)
    while code == b'\xff':  # may be repeated
        code = file.read(1)
    if first != b'\xff' or not code or code in b'\x00\x01\xd8\xd9\xda':
        return None
    return code[0]


def _png_head(file: BinaryIO) -> _Head | None:
    """Walk the chunks before the image data."""
    facts, orientation = None, 1
    while True:
        length, name = struct.unpack('>I4s', file.read(8))
        if name == b'IHDR' and facts is None:
            width, height, bits, kind = struct.unpack('>IIBB', file.read(10))
            if not width or not height or kind not in _PNG_KINDS:
                return None
            facts = ImageFacts((width, height), _PNG_KINDS[kind], bits)
            file.seek(length - 10 + 4, os.SEEK_CUR)
        elif facts is None or name == b'IEND':
            return None
        elif name == b'IDAT':
            place = file.tell()
            facts = replace(facts, orientation=orientation)
            # Whether a PNG file is turned depends on the version of OpenCV.
            sure = orientation == 1 and _PNG_END.search(_tail(file, place))
            return _Head(facts, place, bool(sure))
        elif name == b'eXIf':
            orientation = _orientation(file.read(length))
            file.seek(4, os.SEEK_CUR)
        else:
            file.seek(length + 4, os.SEEK_CUR)


def _tail(file: BinaryIO, place: int) -> bytes:
    """The last bytes of a file, as far as they lie behind a place."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(place, end - _TAIL))
    return file.read()


def _orientation(tiff: bytes) -> int:
    """Orientation of EXIF data, 1 if they tell none."""
    order = {b'II': '<', b'MM': '>'}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (place,) = struct.unpack_from(f'{order}I', tiff, 4)
        (count,) = struct.unpack_from(f'{order}H', tiff, place)
        for index in range(count):
            entry = place + 2 + 12 * index
            tag, _, _, value = struct.unpack_from(f'{order}HHIH', tiff, entry)
            if tag == ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _decoded(data: bytes, head: _Head | None) -> ImageFacts:
    """Facts of a file's content, once OpenCV has made an image of it.

    Raises:
        ValueError: If it cannot, or makes one of half a file.
    """
    if not data:
        raise ValueError('the file is empty')
    buffer = np.frombuffer(data, np.uint8)
    try:
        image = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(f'OpenCV refuses it: {error.err}') from None
    if image is None:
        raise ValueError('it is cut off, damaged or no image')
    if head is not None:
        mark = b'IEND' if data.startswith(_PNG) else b'\xff\xd9'
        if data.find(mark, head.place) < 0:
            raise ValueError('its end is missing: it is cut off or overwritten')
        upright = image.shape[1::-1] == head.facts.size
        return head.facts if upright else replace(head.facts, orientation=1)
    raw = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    height, width = image.shape[:2]
    turned = raw.shape[:2] != image.shape[:2]
    stored = (height, width) if turned else (width, height)
    kind = 'grey' if raw.ndim == 2 else 'colour'
    return ImageFacts(stored, kind, 8 * raw.dtype.itemsize, 6 if turned else 1)
