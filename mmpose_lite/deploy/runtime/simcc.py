"""Coordinates as classes: two vectors for each keypoint instead of a map.

SimCC, arXiv 2107.03332. A network gives the vectors along x and along y as two outputs;
here they are one array ``(N, K, Wx + Wy)``, x first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def vector_sizes(
    input_size: tuple[int, int], simcc_split_ratio: float = 2.0
) -> tuple[int, int]:
    """Lengths Wx and Wy of the vectors.

    Args:
        input_size: Of the crops, (w, h) px.
        simcc_split_ratio: Places per pixel.
    """
    width, height = input_size
    return int(width * simcc_split_ratio), int(height * simcc_split_ratio)


def decode_simcc(
    vectors: Array, input_size: tuple[int, int], simcc_split_ratio: float = 2.0
) -> tuple[Array, Array]:
    """Keypoints of MMPose's ``SimCCLabel``.

    Args:
        vectors: ``(N, K, Wx + Wy)``, not normalised.
        input_size: Of the crops, (w, h) px.
        simcc_split_ratio: Places per pixel.

    Returns:
        ``(N, K, 2)`` in pixels of the crop; ``(N, K)`` the lower one of the two largest
        values. Where that is not above 0 a keypoint lies one place before the first.
    """
    along = np.split(vectors, [vector_sizes(input_size, simcc_split_ratio)[0]], 2)
    scores = np.minimum(*(vector.max(2) for vector in along))
    places = np.stack([vector.argmax(2) for vector in along], 2).astype(np.float32)
    places[scores <= 0] = -1
    return places / np.float32(simcc_split_ratio), scores


def mirror_simcc(vectors: Array, width: int, flip_indices: list[int]) -> Array:
    """Vectors of mirrored crops as those of the crops.

    Args:
        vectors: ``(N, K, Wx + Wy)``.
        width: Wx.
        flip_indices: Keypoint to the one that it becomes in a mirror.
    """
    x, y = np.split(vectors[:, flip_indices], [width], 2)
    return np.concatenate([x[..., ::-1], y], 2)
