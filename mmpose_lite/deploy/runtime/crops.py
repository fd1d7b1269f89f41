"""From boxes in an image to the network's input, and back.

The steps are those of MMPose's top-down test pipeline, in the same number formats:
crops are equal bit by bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .contract import Contract
from .extras import extra

cv2 = extra('cv2')

Array = NDArray[np.floating]


def check_image(image: NDArray[np.uint8]) -> None:
    """Raise ValueError if an image is not ``(H, W, 3)`` of bytes."""
    shape = getattr(image, 'shape', None)
    if shape is None or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise ValueError(f'image must be (H, W, 3), got {shape}')
    if image.dtype != np.uint8:
        raise ValueError(f'image must hold uint8, got {image.dtype}')


def check_boxes(boxes: ArrayLike | None, image: NDArray[np.uint8]) -> Array:
    """Boxes ``(N, 4)``, or the whole image; ValueError for empty or infinite ones."""
    if boxes is None:
        height, width = image.shape[:2]
        return np.array([[0, 0, width, height]], np.float32)
    try:
        array = np.asarray(boxes)
        if not np.issubdtype(array.dtype, np.floating):
            array = array.astype(np.float64)
        elif array.dtype.itemsize < 4:  # half precision is several px in large images
            array = array.astype(np.float32)
    except (TypeError, ValueError):  # rows of unequal length, or no numbers
        raise ValueError(f'boxes must be (N, 4) numbers, got {boxes!r:.80}') from None
    if array.size == 0:
        return np.zeros((0, 4), np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f'boxes must be (N, 4), got {array.shape}')
    good = np.isfinite(array).all(1) & (array[:, 2:] > array[:, :2]).all(1)
    if not good.all():
        bad = array[~good][0].tolist()
        raise ValueError(f'boxes must have right > left and bottom > top, got {bad}')
    return array


def centers_and_scales(boxes: Array, contract: Contract) -> tuple[Array, Array]:
    """Middle and size of the region that is cut for each box, ``(N, 2)`` each, px."""
    sizes = (boxes[:, 2:] - boxes[:, :2]) * contract.box_padding
    centers = (boxes[:, 2:] + boxes[:, :2]) * 0.5
    aspect = contract.input_size[0] / contract.input_size[1]
    width, height = sizes[:, :1], sizes[:, 1:]
    wide = np.hstack([width, width / aspect])
    tall = np.hstack([height * aspect, height])
    return centers, np.where(width > height * aspect, wide, tall)


def _matrix(center: Array, scale: Array, contract: Contract) -> Array:
    """``(2, 3)``, from the image to the crop."""
    width, height = contract.input_size
    if contract.use_udp:
        # Unbiased: distances are between the middles of the outermost pixels.
        x, y = (width - 1) / scale[0], (height - 1) / scale[1]
        left, top = (0.5 * scale - center).tolist()
        return np.array([[x, 0, x * left], [0, y, y * top]], np.float32)
    source = _corner(center, scale[0])
    target = _corner(np.array([width, height]) * 0.5, width)
    return cv2.getAffineTransform(source, target)


def _corner(center: Array, width: float) -> NDArray[np.float32]:
    """Three points ``(3, 2)`` of a region: its middle, left of it, and below that."""
    middle = np.asarray(center, np.float32)
    left = np.asarray(center + np.array([-0.5 * width, 0]), np.float32)
    below = left + np.array([0, middle[0] - left[0]], np.float32)
    return np.stack([middle, left, below])


def cut(
    image: NDArray[np.uint8], centers: Array, scales: Array, contract: Contract
) -> NDArray[np.float32]:
    """The network's input ``(N, 3, H, W)`` for regions of an image ``(H, W, 3)``, BGR.

    Regions are those of :func:`centers_and_scales`; outside the image is black.
    """
    width, height = contract.input_size
    crops = np.empty((len(centers), 3, height, width), np.float32)
    mean = np.array(contract.mean, np.float32)[:, None, None]
    std = np.array(contract.std, np.float32)[:, None, None]
    for crop, center, scale in zip(crops, centers, scales, strict=True):
        matrix = _matrix(center, scale, contract)
        cut_out = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
        if contract.channel_order == 'rgb':
            cut_out = cut_out[..., ::-1]
        crop[:] = cut_out.transpose(2, 0, 1)
        crop -= mean
        crop /= std
    return crops


def to_image(
    keypoints: Array, centers: Array, scales: Array, contract: Contract
) -> Array:
    """Keypoints ``(N, K, 2)`` of crops, in pixels of the image."""
    corner = centers - 0.5 * scales
    return keypoints / contract.input_size * scales[:, None] + corner[:, None]
