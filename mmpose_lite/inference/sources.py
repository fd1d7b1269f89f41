"""Images from wherever they come: a file, a folder, a video or a camera."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ..io.images import images_in, is_image, read_image

_PATIENCE = 30  # frames in a row that may be unreadable before a stream is given up


@dataclass(frozen=True)
class Frame:
    """One image of a source.

    Attributes:
        name: File name; of a video its name and the number of the frame.
        image: ``(H, W, 3)`` ``uint8`` BGR; None if it cannot be read.
        number: Of the frame, from 0; None where images have names of their own.
        known_id: The image's number in COCO annotations, if it is in there.
    """

    name: str
    image: np.ndarray | None
    problem: str = ''
    number: int | None = None
    known_id: int | None = None
    path: str = ''

    @property
    def keys(self) -> tuple[str, ...]:
        """Under what the image may stand in a file, likeliest first."""
        stem = Path(self.name).stem
        number = int(stem) if stem.isascii() and stem.isdigit() else self.number
        name = self.path or self.name
        return (name, stem, *(() if number is None else (str(number),)))

    @property
    def image_id(self) -> int | str:
        """Number of the image in annotations, COCO's file names or a video; or name."""
        if self.known_id is not None:
            return self.known_id
        return int(self.keys[2]) if len(self.keys) > 2 else self.name


@dataclass(frozen=True)
class Source:
    """Where images come from; iterating reads them one by one.

    Attributes:
        kind: ``'images'``, ``'video'`` or ``'camera'``.
        paths: The images, or the one video.
        total: Number of images, as far as it is known.
        fps: Frames per second of a video or camera, 0 if unknown.
    """

    name: str
    kind: str
    paths: tuple[Path, ...] = ()
    total: int | None = None
    fps: float = 0.0
    camera: int | None = None

    def __iter__(self) -> Iterator[Frame]:
        if self.kind == 'images':
            return (read_frame(path) for path in self.paths)
        return _read_stream(self)

    def frames(self) -> Iterator[Frame]:
        """All frames without their images, as far as they are known beforehand."""
        for path in self.paths if self.kind == 'images' else ():
            yield Frame(path.name, None, path=path.absolute().as_posix())
        for number in range(self.total or 0) if self.kind == 'video' else ():
            yield Frame(f'{self.name}_{number:06d}', None, number=number)


def open_source(given: str | os.PathLike[str]) -> Source:
    """The images that an argument names.

    Args:
        given: Path of an image, of a folder (its images are taken in the order of
            their names, those of its folders are not), of a video; or a camera's
            number.

    Raises:
        ValueError: If there is nothing of the kind, or it cannot be opened.
    """
    text, path = os.fspath(given), Path(given)
    if text.isascii() and text.isdigit() and not path.exists():
        return _open_stream(Source(f'camera{text}', 'camera', camera=int(text)))
    if path.is_dir():
        images = images_in(path)
        return Source(path.resolve().name, 'images', tuple(images), len(images))
    if not path.exists():
        raise ValueError(f'there is no image, folder, video or camera {text!r}')
    if is_image(path):
        return Source(path.stem, 'images', (path,), 1)
    return _open_stream(Source(path.stem, 'video', (path,)))


def read_frame(path: Path) -> Frame:
    """An image file, upright as its EXIF data say; a cut one counts as unreadable."""
    frame = Frame(path.name, None, path=path.absolute().as_posix())
    try:
        return replace(frame, image=read_image(path))
    except ValueError:
        return replace(frame, problem='it is damaged or no image')
    except OSError as error:
        return replace(frame, problem=str(error))


def _capture(source: Source) -> cv2.VideoCapture:
    """An open stream; ValueError if it cannot be opened."""
    which = str(source.paths[0]) if source.camera is None else source.camera
    capture = cv2.VideoCapture(which)
    if not capture.isOpened():
        capture.release()
        what = which if source.camera is None else f'camera {which}'
        raise ValueError(f'cannot open {what} as an image, a video or a camera')
    return capture


def _open_stream(source: Source) -> Source:
    """The source with what its stream says of itself."""
    capture = _capture(source)
    fps = max(float(capture.get(cv2.CAP_PROP_FPS)), 0.0)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    total = count if source.camera is None and count > 0 else None
    return replace(source, total=total, fps=fps)


def _read_stream(source: Source) -> Iterator[Frame]:
    """Frames in order; unreadable ones are named as long as more may follow."""
    capture, number, missed = _capture(source), 0, 0
    try:
        while source.total is None or number < source.total:
            read, image = capture.read()
            frame = Frame(f'{source.name}_{number:06d}', None, number=number)
            number += 1
            if read:
                missed = 0
                yield replace(frame, image=image)
            elif source.total is None and source.camera is None:
                return  # a video that does not know its length just ends
            else:
                missed += 1
                given_up = '; no more are tried' * (missed == _PATIENCE)
                yield replace(frame, problem=f'it cannot be read{given_up}')
                if given_up:
                    return
    finally:
        capture.release()
