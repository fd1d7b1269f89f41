"""All images of a source, one after the other, whatever is wrong with some of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from mmpose.structures import PoseDataSample

from .boxes import BoxFile
from .drawing import Album, Film, Painter
from .results import coco_results
from .sources import Frame


class Poser(Protocol):
    """What finds people: MMPose's inferencer here, or an exported file."""

    def people(
        self, image: np.ndarray, boxes: np.ndarray | None = None, threshold: float = 0.3
    ) -> PoseDataSample:
        """People of an image ``(H, W, 3)`` BGR, in given boxes if there are any."""


@dataclass
class Done:
    """What came of a source.

    Attributes:
        images: Number of images that went well.
        results: COCO results of all people.
        failures: Name of an image and what was wrong with it.
        seconds: For all of it, reading and drawing included.
    """

    images: int = 0
    results: list[dict[str, Any]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0


def process(
    frames: Iterable[Frame],
    poser: Poser,
    boxes: BoxFile | None = None,
    threshold: float = 0.3,
    painter: Painter | None = None,
    sink: Album | Film | None = None,
    on_frame: Callable[[Done, str], None] = lambda done, problem: None,
) -> Done:
    """Find, draw and list the people of every image.

    An image that cannot be read or about which there are no boxes is passed over and
    noted. An interruption (Ctrl-C) ends the work as if there were no more images.

    Args:
        frames: The images.
        poser: What finds people.
        boxes: Boxes of the images; the poser looks for itself if not given.
        threshold: Score below which a detector's boxes are dropped.
        painter: Draws; nothing is drawn if not given.
        sink: Where drawn images go.
        on_frame: Called after every image with what is done so far and with what was
            wrong with this image, or ``''``.

    Returns:
        What came of it.
    """
    done, begun, complete = Done(), time.monotonic(), False
    try:
        for frame in frames:
            problem = frame.problem
            if frame.image is not None:
                try:
                    given = None if boxes is None else boxes.of(frame.keys)
                except ValueError as error:
                    problem = str(error)
                else:
                    sample = poser.people(frame.image, given, threshold)
                    ids = {} if boxes is None else boxes.image_ids
                    number = ids.get(frame.name, frame.image_id)
                    done.results += coco_results(sample, number)
                    done.images += 1
                    if painter is not None and sink is not None:
                        sink.add(frame, painter(frame.image, sample))
            if problem:
                done.failures.append((frame.name, problem))
            done.seconds = time.monotonic() - begun
            on_frame(done, problem and f'{frame.name}: {problem}')
        complete = True
    except KeyboardInterrupt:
        complete = True
    finally:
        if sink is not None:
            sink.close(complete)
    return done
