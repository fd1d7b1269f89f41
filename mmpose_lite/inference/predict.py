"""Poses in all images of a source, whatever is wrong with some of them."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

from .. import deploy
from ..data.keypoints import dataset_info
from .boxes import BoxFile, Detector, as_boxes, read_boxes, whole_image
from .inferencer import EXPORTED, inferencer
from .results import as_sample
from .sources import Frame, Source, open_source


class Predictor(Protocol):
    """What finds people: MMPose's inferencer here, or an exported file."""

    visualizer: PoseLocalVisualizer

    def people(
        self, image: np.ndarray, boxes: np.ndarray | None = None, threshold: float = 0.3
    ) -> PoseDataSample:
        """People of an image ``(H, W, 3)`` BGR, in given boxes if there are any."""


class Writer(Protocol):
    """Where people go, such as :class:`ImageWriter` or :class:`Results`."""

    def add(
        self, frame: Frame, people: PoseDataSample, visualizer: PoseLocalVisualizer
    ) -> None:
        """Take one image with its people."""

    def close(self, complete: bool = True) -> None:
        """Finish; without ``complete`` the work ended in an error."""


class ExportedPredictor:
    """Finds people with an exported network.

    Args:
        detector: Finds boxes where none are given; the whole image is one person
            without.

    Raises:
        ImportError: If the engine is not installed.
        OSError: If a file of the network is missing.
        ValueError: If a file is not what was exported.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        detector: Detector | None = None,
        threads: int = 1,
    ) -> None:
        self.runtime = deploy.PoseRuntime(file, threads=threads)
        self.detector = detector
        contract = self.runtime.contract
        info = dataset_info(contract.keypoint_names, contract.skeleton, 'exported')
        self.visualizer = PoseLocalVisualizer()
        self.visualizer.set_dataset_meta(parse_pose_metainfo(info))

    def people(
        self, image: np.ndarray, boxes: np.ndarray | None = None, threshold: float = 0.3
    ) -> PoseDataSample:
        """As of :class:`PoseInferencer`; with a flip test where the config has one."""
        if boxes is not None:
            boxes = as_boxes(boxes)
        elif self.detector is not None:
            boxes = self.detector(image, threshold)
        else:
            boxes = whole_image(image)
        contract = self.runtime.contract
        count = len(contract.keypoint_names)
        found = np.zeros((0, count, 2), np.float32), np.zeros((0, count), np.float32)
        if len(boxes):
            found = self.runtime(image, boxes[:, :4], flip_test=contract.flip_test)
        return as_sample(boxes, *found)


def open_predictor(
    model: str,
    weights: str | os.PathLike[str] | None = None,
    *,
    detector: str | None = None,
    detector_weights: str | os.PathLike[str] | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> Predictor:
    """What finds people: of a name, a config or an exported file.

    Args:
        model: Name or alias in the zoo, path of a config, or an exported network.
        device: Of model and detector; an exported network runs on the CPU.
        threads: Of the engine of an exported network, 1 if not given.

    Raises:
        ImportError: If an engine is not installed.
        OSError: If a file cannot be read.
        ValueError: If a file is not what it must be, or an argument does not apply.
    """
    if Path(model).suffix not in EXPORTED:
        if threads is not None:
            raise ValueError(
                f'threads are those of an exported network, which {model} is not; '
                'OMP_NUM_THREADS sets those of torch'
            )
        finder: Any = dict(detector=detector, detector_weights=detector_weights)
        return inferencer(model, weights, device=device, **finder)
    if weights is not None:
        raise ValueError(f'weights: {model} holds its own already')
    if device not in (None, 'cpu') and detector is None:
        raise ValueError(f'device must be cpu for the exported {model}, got {device}')
    given = None if detector_weights is None else os.fspath(detector_weights)
    found = None if detector is None else Detector(detector, given, device)
    return ExportedPredictor(model, found, 1 if threads is None else threads)


@dataclass
class Done:
    """What came of a source: names and problems of failures, seconds for all of it."""

    images: int = 0
    people: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.seconds if self.seconds else 0.0


def run(
    source: Iterable[Frame] | str | os.PathLike[str],
    model: Predictor,
    boxes: BoxFile | str | os.PathLike[str] | None = None,
    writers: Sequence[Writer] = (),
    *,
    threshold: float = 0.3,
    limit: int | None = None,
    on_frame: Callable[[Done, str], Any] = lambda done, problem: None,
) -> Done:
    """Find the people of every image, and hand them to writers.

    An image that cannot be read or about which there are no boxes is passed over and
    noted. An interruption (Ctrl-C) ends the work as if there were no more images.

    Args:
        source: What :func:`open_source` takes or returns, or any images.
        boxes: Boxes of the images, or their file; the model looks for itself if not
            given.
        on_frame: Called after every image with what is done so far and with what was
            wrong with this image, or ``''``.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If there are no images, or a file is not what it must be.
    """
    if isinstance(source, str | os.PathLike):
        source = open_source(source)
    if boxes is not None and not isinstance(boxes, BoxFile):
        boxes = read_boxes(boxes, threshold)
    if boxes is not None and isinstance(source, Source):
        boxes.check(source)
    done, begun, complete = Done(), time.monotonic(), False
    try:
        for frame in itertools.islice(source, limit):
            problem, image = frame.problem, frame.image
            if image is not None:
                given: np.ndarray | None = None
                try:
                    if boxes is not None:
                        given, number = boxes.of(frame)
                        frame = replace(frame, known_id=number)
                except ValueError as error:
                    problem = str(error)
                else:
                    people = model.people(image, given, threshold)
                    for writer in writers:
                        writer.add(frame, people, model.visualizer)
                    done.images += 1
                    done.people += len(people.pred_instances)
            if problem:
                done.failures.append((frame.name, problem))
            done.seconds = time.monotonic() - begun
            on_frame(done, problem and f'{frame.name}: {problem}')
        complete = True
    except KeyboardInterrupt:
        complete = True
    finally:
        for writer in writers:
            writer.close(complete)
    return done
