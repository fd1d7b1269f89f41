"""Skeletons on images, and where the pictures go: files of a folder or one video."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

from ..explain import save_image
from ..io.files import part_name, remove_parts
from .sources import Frame, Source

_FINE = 180  # px of an image's smaller side for each px of a joint's radius
_FPS = 25.0  # of a video that does not say


class Painter:
    """Draws people with MMPose's visualizer.

    Args:
        visualizer: It, knowing names, links and colours of the keypoints.
        threshold: Joints with a lower score are not drawn.
        draw_boxes: Whether boxes are drawn too.
    """

    def __init__(
        self,
        visualizer: PoseLocalVisualizer,
        threshold: float = 0.3,
        draw_boxes: bool = False,
    ) -> None:
        self.visualizer = visualizer
        self.threshold = threshold
        self.draw_boxes = draw_boxes

    def __call__(self, image: np.ndarray, sample: PoseDataSample) -> np.ndarray:
        """A drawn copy of an image ``(H, W, 3)`` ``uint8`` BGR."""
        radius = max(2, round(min(image.shape[:2]) / _FINE))
        self.visualizer.radius = radius
        self.visualizer.line_width = max(1, radius - 1)
        drawn = self.visualizer.add_datasample(
            'people',
            np.ascontiguousarray(image[..., ::-1]),
            sample,
            draw_gt=False,
            draw_bbox=self.draw_boxes,
            kpt_thr=self.threshold,
        )
        return np.ascontiguousarray(drawn[..., ::-1])


class Album:
    """Drawn images as files of a folder, under their own names.

    Args:
        folder: Made if it is not there.
        source: Where the images come from.

    Raises:
        ValueError: If the folder is the images' own, where they would be overwritten.
    """

    def __init__(self, folder: str | os.PathLike[str], source: Source) -> None:
        self.folder = Path(folder)
        if any(path.parent.resolve() == self.folder.resolve() for path in source.paths):
            raise ValueError(
                f'--out must not be the folder of the images themselves, got {folder}'
            )

    def add(self, frame: Frame, drawn: np.ndarray) -> None:
        """Write one image."""
        path = self.folder / frame.name
        if not cv2.haveImageWriter(path.name):
            path = path.with_suffix('.png')
        save_image(path, drawn)

    def close(self, complete: bool = True) -> None:
        """Nothing is left to do."""


class Film:
    """Drawn frames as one video, which takes its name when it is closed.

    Args:
        folder: Made if it is not there.
        source: Where the frames come from.
    """

    def __init__(self, folder: str | os.PathLike[str], source: Source) -> None:
        self.path = Path(folder) / f'{source.name}.mp4'
        if any(path.resolve() == self.path.resolve() for path in source.paths):
            raise ValueError(
                f'--out must not be the folder of the video itself, got {folder}'
            )
        self.fps = source.fps or _FPS
        # The suffix tells the format.
        self._part = Path(f'{part_name(self.path)}.mp4')
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def add(self, frame: Frame, drawn: np.ndarray) -> None:
        """Append a frame.

        Raises:
            OSError: If the video cannot be written.
        """
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
