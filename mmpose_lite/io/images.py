"""The one reader of image files, as MMPose sees them, and the one writer.

MMPose reads with OpenCV, which turns images as their EXIF data say, makes three
channels of eight bits of everything, and returns half an image of some files that are
cut off. Pillow reads what a file says of itself; OpenCV decodes it, once.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from .files import write_atomically

SUFFIXES = (
    '.jpg', '.jpeg', '.jfif', '.jpe', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm',
    '.pgm', '.gif', '.jp2', '.avif',
)  # fmt: skip
"""Of file names that are taken for images."""

ORIENTATION = 0x0112
"""The tag of EXIF that says how an image must be turned, 1 (as it is) to 8."""

# First bytes of a file to what reads its head, and to the mark at its end. (Image.open
# refuses images of more than 179 megapixels, which OpenCV reads.)
_FORMATS: dict[bytes, tuple[type[Any], bytes]] = {
    b'\xff\xd8': (JpegImageFile, b'\xff\xd9'),
    b'\x89PNG': (PngImageFile, b'IEND\xaeB`\x82'),
    b'BM': (BmpImageFile, b''),
    b'II*\0': (TiffImageFile, b''),
    b'MM\0*': (TiffImageFile, b''),
    b'RIFF': (WebPImageFile, b''),
}
_TAIL = 64  # bytes at the end of a file among which its mark is looked for


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


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """An image file, upright as its EXIF data say.

    Returns:
        ``(H, W, 3)``, BGR.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut off, damaged or no image (the message names it).
    """
    try:
        return _decode(Path(path).read_bytes())[0]
    except ValueError as error:
        raise ValueError(f'{os.fspath(path)}: {error}') from None


def image_facts(path: str | os.PathLike[str], decode: bool = False) -> ImageFacts:
    """Size and kind of an image file.

    A JPEG or PNG file that has a sound head and a proper end is not decoded unless it
    is asked for; every other file is.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If OpenCV, and so MMPose, cannot make a whole image of it.
    """
    with open(path, 'rb') as file:
        facts, place, mark = (None, 0, b'') if decode else _read_head(file)
        # Whether a PNG file is turned depends on the version of OpenCV.
        turned = facts and b'IEND' in mark and facts.orientation != 1
        if facts is not None and mark and not turned:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(place, end - _TAIL))
            if mark in file.read():
                return facts
        file.seek(0)
        return _decode(file.read())[1]


def _read_head(file: BinaryIO) -> tuple[ImageFacts | None, int, bytes]:
    """What Pillow makes of a file's head, where its data begin, and what ends them."""
    start = file.read(4)
    file.seek(0)
    for prefix, (reader, mark) in _FORMATS.items():
        if start.startswith(prefix):
            try:
                image = reader(file)
            except Exception:  # Pillow raises nearly anything on damaged heads
                break
            kind = {'C': 'CMYK', **dict.fromkeys('1LIF', 'grey')}
            facts = ImageFacts(
                image.size,
                kind.get(image.mode[0], 'colour'),
                16 if ';16' in f'{image.mode} {image.tile}' else 8,
                _orientation(image.info.get('exif', b'')),
            )
            return facts, file.tell(), mark
    return None, 0, b''


def _orientation(exif: bytes) -> int:
    """Orientation that EXIF data tell; 1 if none."""
    tags = Image.Exif()
    try:
        tags.load(exif)
        value: Any = tags.get(ORIENTATION)
    except Exception:  # OpenCV passes over damaged ones, too
        return 1
    return value if value in range(1, 9) else 1


def _decode(data: bytes) -> tuple[NDArray[np.uint8], ImageFacts]:
    """The image that a file's content holds, and its facts; ValueError if none."""
    if not data:
        raise ValueError('the file is empty')
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(f'OpenCV refuses it: {error.err}') from None
    if found is None:
        raise ValueError('it is cut off, damaged or no image')
    image = cast('NDArray[np.uint8]', found)
    size = image.shape[1], image.shape[0]
    facts, place, mark = _read_head(io.BytesIO(data))
    if facts is None:
        return image, ImageFacts(size)
    if data[:4] == b'RIFF' and facts.orientation != 1 and not _turns_webp():
        raise ValueError(
            f'its EXIF data turn it (orientation {facts.orientation}), which '
            f'OpenCV {cv2.__version__} does not do with WebP: save it upright'
        )
    if data.find(mark, place) < 0:
        raise ValueError('its end is missing: it is cut off or overwritten')
    if size != facts.size:
        facts = replace(facts, stored=size, orientation=1)
    return image, facts


@lru_cache(maxsize=1)
def _turns_webp() -> bool:
    """Whether this OpenCV turns WebP images as EXIF says; 4.11 turns only others."""
    upright, file, exif = Image.new('L', (4, 2)), io.BytesIO(), Image.Exif()
    upright.putpixel((0, 0), 255)
    exif[ORIENTATION] = 3  # upside down
    upright.convert('RGB').save(file, 'WEBP', lossless=True, exif=exif.tobytes())
    found = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    return found is not None and bool(found[-1, -1, 0] > 127)


def is_image(path: str | os.PathLike[str]) -> bool:
    """Whether a path is, by its suffix, that of an image file."""
    return Path(path).suffix.lower() in SUFFIXES and Path(path).is_file()


def images_in(folder: str | os.PathLike[str]) -> list[Path]:
    """Image files of a folder, but not of its folders, by name; ValueError if none."""
    found = [path for path in sorted(Path(folder).iterdir()) if is_image(path)]
    if not found:
        raise ValueError(f'the folder {folder} holds no images ({", ".join(SUFFIXES)})')
    return found


def save_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write an image so that the file exists either whole or not at all.

    Args:
        path: Where to; the suffix chooses the format. Its folder is made.
        image: ``(H, W, 3)`` ``uint8`` BGR.

    Raises:
        OSError: If it cannot be written.
        ValueError: If the suffix names no image format.
    """
    path = Path(path)
    if not cv2.haveImageWriter(path.name):
        raise ValueError(f'path must end in an image suffix, got {path.name!r}')
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(path.suffix, image)
    write_atomically(path, data.tobytes())
