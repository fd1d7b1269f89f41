"""Skeletons on images, and where the pictures go: files of a folder or one video."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

from ..io.files import part_name, remove_parts
from ..io.images import save_image
from .sources import Frame, Source

_FINE = 180  # px of an image's smaller side for each px of a keypoint's radius
_GREY = ('.pgm', '.pbm')  # formats without colours
_FPS = 25.0  # of a video that does not say


@dataclass(frozen=True)
class Painter:
    """Draws people, of keypoints those from a ``threshold`` on, as MMPose does."""

    threshold: float = 0.3
    draw_boxes: bool = False

    def __call__(
        self, image: np.ndarray, people: PoseDataSample, visualizer: PoseLocalVisualizer
    ) -> np.ndarray:
        """A drawn copy of an image ``(H, W, 3)`` ``uint8`` BGR."""
        visualizer.radius = max(2, round(min(image.shape[:2]) / _FINE))
        visualizer.line_width = max(1, visualizer.radius - 1)
        rgb = np.ascontiguousarray(image[..., ::-1])
        what = dict(draw_gt=False, draw_bbox=self.draw_boxes, kpt_thr=self.threshold)
        drawn = visualizer.add_datasample('people', rgb, people, **what)
        return np.ascontiguousarray(drawn[..., ::-1])


class ImageWriter:
    """Drawn images as files of a folder, under their own names.

    ValueError if the folder is the images' own, where they would be overwritten.
    """

    def __init__(
        self, folder: str | os.PathLike[str], source: Source, painter: Painter
    ) -> None:
        self.folder, self.painter = Path(folder), painter
        if any(path.parent.resolve() == self.folder.resolve() for path in source.paths):
            raise ValueError(
                f'--out must not be the folder of the images themselves, got {folder}'
            )

    def add(
        self, frame: Frame, people: PoseDataSample, visualizer: PoseLocalVisualizer
    ) -> None:
        """Draw and write one image."""
        assert frame.image is not None
        path = self.folder / frame.name
        if path.suffix.lower() in _GREY or not cv2.haveImageWriter(path.name):
            path = path.with_suffix('.png')
        save_image(path, self.painter(frame.image, people, visualizer))

    def close(self, complete: bool = True) -> None:
        """Nothing is left to do."""


class VideoWriter:
    """Drawn frames as one video, which takes its name when it is closed.

    ValueError if the video would be overwritten by the drawn one.
    """

    def __init__(
        self, folder: str | os.PathLike[str], source: Source, painter: Painter
    ) -> None:
        self.path, self.painter = Path(folder) / f'{source.name}.mp4', painter
        if any(path.resolve() == self.path.resolve() for path in source.paths):
            raise ValueError(
                f'--out must not be the folder of the video itself, got {folder}'
            )
        self.fps = source.fps or _FPS
        # The suffix tells the format.
        self._part = Path(f'{part_name(self.path)}.mp4')
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def add(
        self, frame: Frame, people: PoseDataSample, visualizer: PoseLocalVisualizer
    ) -> None:
        """Draw and append a frame; OSError if the video cannot be written."""
        assert frame.image is not None
        drawn = self.painter(frame.image, people, visualizer)
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            remove_parts(self.path.parent)  # of runs that were killed
            self._size = (drawn.shape[1], drawn.shape[0])
            code = cv2.VideoWriter.fourcc(*'mp4v')
            self._writer = cv2.VideoWriter(str(self._part), code, self.fps, self._size)
            if not self._writer.isOpened():
                raise OSError(f'cannot write the video {self.path}')
        self._writer.write(cv2.resize(drawn, self._size))

    def close(self, complete: bool = True) -> None:
        """Finish the file; without ``complete`` it is thrown away."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            if complete:
                os.replace(self._part, self.path)
        self._part.unlink(missing_ok=True)


def open_writer(
    folder: str | os.PathLike[str], source: Source, painter: Painter | None = None
) -> ImageWriter | VideoWriter:
    """What writes the drawn images of a source: each of them, or one video."""
    kind = ImageWriter if source.kind == 'images' else VideoWriter
    return kind(folder, source, painter or Painter())
