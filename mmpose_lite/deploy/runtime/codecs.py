"""From heatmaps to keypoints, as MMPose's codecs do it.

A codec that is missing here takes a function and a row of :data:`DECODERS`. SimCC
(arXiv 2107.03332) has two vectors for each keypoint instead of a map: a network gives
those along x and along y as two outputs, here they are one array ``(N, K, Wx + Wy)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contract import Contract
from .extras import extra

cv2 = extra('cv2')

Array = NDArray[np.floating]
Decoded = tuple[Array, Array]


def _peaks(heatmaps: Array) -> Decoded:
    """Where each map is largest, ``(N, K, 2)`` in its pixels, and the value there.

    A map without anything above 0 has its peak at (-1, -1).
    """
    count, keypoints, _, width = heatmaps.shape
    flat = heatmaps.reshape(count, keypoints, -1)
    index = flat.argmax(2)
    values = np.take_along_axis(flat, index[..., None], 2)[..., 0]
    places = np.stack([index % width, index // width], 2).astype(np.float32)
    places[values <= 0] = -1
    return places, values


def _blurred(heatmaps: Array, kernel: int) -> Array:
    """A copy, blurred, with each map's maximum kept."""
    blurred = np.empty(heatmaps.shape, np.float32)
    size, border = (kernel, kernel), cv2.BORDER_CONSTANT
    for place in np.ndindex(heatmaps.shape[:2]):
        new = cv2.GaussianBlur(heatmaps[place], size, 0, borderType=border)
        top = new.max()
        blurred[place] = new * (heatmaps[place].max() / top) if top != 0 else new
    return blurred


def _around(maps: Array, places: Array) -> Callable[[int, int], Array]:
    """A function from an offset (x, y) to the maps' values beside each place."""
    image, keypoint = np.indices(places.shape[:2])
    x, y = np.moveaxis(places.astype(int), 2, 0)
    height, width = maps.shape[2:]

    def at(right: int, down: int) -> Array:
        # Beyond the edge is what is at the edge.
        row, column = (y + down).clip(0, height - 1), (x + right).clip(0, width - 1)
        return maps[image, keypoint, row, column]

    return at


def _quarter(heatmaps: Array, places: Array) -> Array:
    """Steps of a quarter pixel towards the higher neighbour."""
    height, width = heatmaps.shape[2:]
    at = _around(heatmaps, places)
    x, y = places[..., 0], places[..., 1]
    inside_x = (x > 1) & (x < width - 1) & (y > 0) & (y < height)
    inside_y = (y > 1) & (y < height - 1) & (x > 0) & (x < width)
    steps = [
        np.sign(at(1, 0) - at(-1, 0)) * inside_x,
        np.sign(at(0, 1) - at(0, -1)) * inside_y,
    ]
    return 0.25 * np.stack(steps, 2)


def _newton(
    at: Callable[[int, int], Array], dxx: Array, dxy: Array, dyy: Array
) -> Array:
    """Steps to where a paraboloid is largest: minus inverse Hessian times gradient."""
    dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
    determinant = dxx * dyy - dxy * dxy
    safe = np.where(determinant == 0, 1, determinant)
    step = [(dxy * dy - dyy * dx) / safe, (dxy * dx - dxx * dy) / safe]
    return np.where((determinant == 0)[..., None], 0, np.stack(step, 2))


def decode_msra(
    heatmaps: Array,
    input_size: tuple[int, int],
    unbiased: bool = False,
    blur_kernel_size: int = 11,
) -> Decoded:
    """Keypoints of MMPose's ``MSRAHeatmap``.

    Args:
        heatmaps: ``(N, K, h, w)``.
        input_size: Of the crops, (w, h) px.
        unbiased: Whether the peak is refined as in DarkPose (arXiv 1910.06278).
        blur_kernel_size: Of that refinement, odd.

    Returns:
        ``(N, K, 2)`` in pixels of the crop, ``(N, K)`` values at the peaks.
    """
    height, width = heatmaps.shape[2:]
    places, scores = _peaks(heatmaps)
    if unbiased:
        logs = np.log(np.maximum(_blurred(heatmaps, blur_kernel_size), 1e-10))
        at = _around(logs.astype(np.float64), places)
        x, y = places[..., 0], places[..., 1]
        inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
        step = _newton(
            at,
            0.25 * (at(2, 0) - 2 * at(0, 0) + at(-2, 0)),
            0.25 * (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)),
            0.25 * (at(0, 2) - 2 * at(0, 0) + at(0, -2)),
        )
        places = places + step * inside[..., None]
    else:
        places = places + _quarter(heatmaps, places)
    return places * (np.array(input_size) / (width, height)), scores


def decode_udp(
    heatmaps: Array, input_size: tuple[int, int], blur_kernel_size: int = 11
) -> Decoded:
    """Keypoints of MMPose's ``UDPHeatmap`` with Gaussian maps (arXiv 1911.07524)."""
    height, width = heatmaps.shape[2:]
    places, scores = _peaks(heatmaps)
    logs = np.log(_blurred(heatmaps, blur_kernel_size).clip(1e-3, 50))
    at = _around(logs.astype(np.float64), places)
    middle = at(0, 0)
    # The mixed derivative is averaged over two of the four quadrants.
    mixed = at(1, 1) - at(1, 0) - at(0, 1) + 2 * middle
    mixed = 0.5 * (mixed - at(-1, 0) - at(0, -1) + at(-1, -1))
    ridge = np.finfo(np.float32).eps  # keeps flat maps where they are
    step = _newton(
        at,
        at(1, 0) - 2 * middle + at(-1, 0) + ridge,
        mixed,
        at(0, 1) - 2 * middle + at(0, -1) + ridge,
    )
    outer = np.array([width - 1, height - 1])
    return (places + step) / outer * np.array(input_size), scores


def decode_centered_udp(
    heatmaps: Array, input_size: tuple[int, int], blur_kernel_size: int = 11
) -> Decoded:
    """Keypoints of this package's ``CenteredUDPHeatmap``."""
    places, scores = decode_udp(heatmaps, input_size, blur_kernel_size)
    size, cells = np.array(input_size), np.array(heatmaps.shape[:1:-1])
    factors = (size - 1) / (cells - 1)
    return (places - size / 2) * (factors[0] / factors) + size / 2, scores


def vector_sizes(
    input_size: tuple[int, int], simcc_split_ratio: float = 2.0
) -> tuple[int, int]:
    """Lengths Wx and Wy of vectors with so many places per pixel of (w, h) px."""
    width, height = input_size
    return int(width * simcc_split_ratio), int(height * simcc_split_ratio)


def decode_simcc(
    vectors: Array, input_size: tuple[int, int], simcc_split_ratio: float = 2.0
) -> Decoded:
    """Keypoints of MMPose's ``SimCCLabel``, from vectors that are not normalised.

    Scores are the lower one of the two largest values; where that is not above 0 a
    keypoint lies one place before the first.
    """
    along = np.split(vectors, [vector_sizes(input_size, simcc_split_ratio)[0]], 2)
    scores = np.minimum(*(vector.max(2) for vector in along))
    places = np.stack([vector.argmax(2) for vector in along], 2).astype(np.float32)
    places[scores <= 0] = -1
    return places / np.float32(simcc_split_ratio), scores


@dataclass(frozen=True)
class Codec:
    """How to decode heatmaps of one of MMPose's codecs.

    Attributes:
        options: What ``decode`` needs to know of the codec's own parameters.
        encoding: Parameters that only matter in training.
        fixed: Parameters that must have this value if they are there.
        vectors: Whether it has vectors ``(N, K, Wx + Wy)`` instead of maps.
    """

    decode: Callable[..., Decoded]
    options: tuple[str, ...]
    encoding: tuple[str, ...] = ()
    fixed: dict[str, Any] = field(default_factory=dict)
    vectors: bool = False


# Options, encoding and fixed parameters of either.
_UDP: Any = (
    ('blur_kernel_size',),
    ('sigma', 'radius_factor'),
    dict(heatmap_type='gaussian'),
)
DECODERS = {
    'MSRAHeatmap': Codec(decode_msra, ('unbiased', 'blur_kernel_size'), ('sigma',)),
    'UDPHeatmap': Codec(decode_udp, *_UDP),
    'CenteredUDPHeatmap': Codec(decode_centered_udp, *_UDP),
    'SimCCLabel': Codec(
        decode_simcc,
        ('simcc_split_ratio',),
        ('smoothing_type', 'sigma', 'label_smooth_weight', 'normalize', 'decode_beta'),
        dict(use_dark=False, decode_visibility=False),
        vectors=True,
    ),
}


def check_codec(contract: Contract) -> dict[str, Any]:
    """Options of a contract's decoder; ValueError for an unknown codec or parameter."""
    codec = DECODERS.get(contract.codec)
    if codec is None:
        raise ValueError(
            f'codec must be one of {tuple(DECODERS)}, got {contract.codec!r}: other '
            'codecs cannot be decoded without MMPose yet'
        )
    options = {}
    for name, value in contract.codec_options.items():
        if name in codec.options:
            options[name] = value
        elif name in codec.fixed and value != codec.fixed[name]:
            raise ValueError(
                f'{name} of {contract.codec} must be {codec.fixed[name]!r}, got '
                f'{value!r}'
            )
        elif name not in (*codec.encoding, *codec.fixed):
            raise ValueError(f'{contract.codec} has no parameter {name!r}')
    return options


def axis_split(contract: Contract) -> int | None:
    """How long vectors along x are; None if a network gives maps."""
    return contract.heatmap_size[0] if DECODERS[contract.codec].vectors else None


def mirrored(heatmaps: Array, contract: Contract) -> Array:
    """Heatmaps of mirrored crops as those of the crops, for a flip test."""
    split = axis_split(contract)
    heatmaps = heatmaps[:, contract.flip_indices]
    if split is not None:
        x, y = np.split(heatmaps, [split], 2)
        return np.concatenate([x[..., ::-1], y], 2)
    heatmaps = heatmaps[..., ::-1]
    if contract.shift_heatmap:
        heatmaps[..., 1:] = heatmaps[..., :-1].copy()
    return heatmaps


def decode(heatmaps: Array, contract: Contract) -> Decoded:
    """Keypoints ``(N, K, 2)`` in pixels of the crop, and scores ``(N, K)``."""
    options = check_codec(contract)
    found = DECODERS[contract.codec].decode
    return found(np.asarray(heatmaps, np.float32), contract.input_size, **options)
