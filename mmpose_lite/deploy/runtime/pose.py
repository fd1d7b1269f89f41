"""Poses of people in images, from an exported network."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .codecs import Array, check_codec, decode, mirrored
from .contract import Contract, load_contract
from .crops import centers_and_scales, check_boxes, check_image, cut, to_image
from .engines import Session, open_engine

DEFAULT_BATCH = 16


class PoseNetwork:
    """A network in an open engine that finds the keypoints of people in boxes.

    It computes what MMPose's top-down inference does, to 0.1 px, without torch and
    MMPose. One object may be used by one thread at a time.

    Raises:
        ValueError: If the codec is unknown, or the model holds another contract.
    """

    def __init__(self, contract: Contract, session: Session) -> None:
        check_codec(contract)
        if session.contract and Contract.from_json(session.contract) != (
            contract.inner()
        ):
            raise ValueError('the model holds another contract than the file beside it')
        self.contract = contract
        self._run = session

    def __call__(
        self,
        image: NDArray[np.uint8],
        boxes: ArrayLike | None = None,
        flip_test: bool = False,
        batch: int | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Find the keypoints of the person in each box.

        Args:
            image: ``(H, W, 3)``, BGR, bytes.
            boxes: ``(N, 4)``: left, top, right, bottom, px; None is the whole image.
            flip_test: Whether to average with the mirrored crop's heatmaps, which takes
                twice as long and is a little more exact.
            batch: Crops per run; None is what the model was exported for, or 16.

        Returns:
            Keypoints ``(N, K, 2)`` in pixels of the image, and scores ``(N, K)``.

        Raises:
            ValueError: If an argument is not so, or ``batch`` is not the model's.
        """
        shape = (0, len(self.contract.keypoint_names), 2)
        keypoints, scores = [np.empty(shape, np.float32)], [np.empty(shape[:2])]
        for _, found, values in self.batches(image, boxes, flip_test, batch):
            keypoints.append(found)
            scores.append(values)
        return np.concatenate(keypoints), np.concatenate(scores, dtype=np.float32)

    def batches(
        self,
        image: NDArray[np.uint8],
        boxes: ArrayLike | None = None,
        flip_test: bool = False,
        batch: int | None = None,
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], Array]]:
        """Heatmaps, keypoints and scores of a call, run by run of the engine."""
        centers, scales = self._regions(image, boxes)
        for part in self._parts(len(centers), batch):
            region = centers[part], scales[part]
            heatmaps = self.heatmaps(cut(image, *region, self.contract), flip_test)
            found, scores = self.decode(heatmaps)
            placed = to_image(found, *region, self.contract)
            yield heatmaps, placed.astype(np.float32), scores

    def crops(
        self, image: NDArray[np.uint8], boxes: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """The network's input for boxes of an image, ``(N, 3, H, W)``."""
        return cut(image, *self._regions(image, boxes), self.contract)

    def heatmaps(
        self, crops: NDArray[np.float32], flip_test: bool = False
    ) -> NDArray[np.float32]:
        """Output ``(N, K, h, w)`` or ``(N, K, Wx + Wy)`` of at most a batch."""
        found = self._padded(crops)
        if flip_test:
            other = self._padded(np.ascontiguousarray(crops[..., ::-1]))
            found = (found + mirrored(other, self.contract)) * np.float32(0.5)
        return found

    def decode(self, heatmaps: Array) -> tuple[Array, Array]:
        """Keypoints ``(N, K, 2)`` in pixels of the crop, and scores ``(N, K)``."""
        return decode(heatmaps, self.contract)

    def _regions(
        self, image: NDArray[np.uint8], boxes: ArrayLike | None
    ) -> tuple[Array, Array]:
        check_image(image)
        return centers_and_scales(check_boxes(boxes, image), self.contract)

    def _parts(self, count: int, batch: int | None) -> Iterator[slice]:
        fixed = self.contract.batch
        size = batch or fixed or DEFAULT_BATCH
        if (batch is not None and batch < 1) or (fixed and size != fixed):
            wanted = f'{fixed}, as the model was exported for' if fixed else 'above 0'
            raise ValueError(f'batch must be {wanted}, got {batch}')
        return (slice(first, first + size) for first in range(0, count, size))

    def _padded(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a batch, with empty crops where it is not full."""
        fixed, count = self.contract.batch, len(crops)
        if fixed and count < fixed:
            missing = (fixed - count, *crops.shape[1:])
            crops = np.concatenate([crops, np.zeros(missing, crops.dtype)])
        return self._run(crops)[:count]


class PoseRuntime(PoseNetwork):
    """An exported network, opened from its file.

    Args:
        file: The model (``.onnx``, ``.xml`` or ``.so``), its contract beside it. A
            compiled network is a program: load only those of people you trust.
        engine: A key of ``ENGINES``; None is the format's own.
        hint: Number format to compute in, ``'bf16'`` only with OpenVINO: faster on
            processors that have it, and less exact.

    Raises:
        OSError: If a file is missing.
        ValueError: If a file is not what was exported, before any engine sees it, or
            an argument does not apply.
        ImportError: If the engine is not installed.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        threads: int = 1,
        engine: str | None = None,
        hint: str = 'f32',
    ) -> None:
        contract, contents = load_contract(file)
        try:
            super().__init__(contract, open_engine(contents, engine, threads, hint))
        except ValueError as error:
            raise ValueError(f'{os.fspath(file)}: {error}') from error
