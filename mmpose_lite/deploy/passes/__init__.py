"""Exact passes over a network: the same outputs from fewer operators and bytes.

Each takes a network in eval mode, changes it in place and returns it, or what replaces
it; :func:`optimize` runs all that a target takes, on a copy.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...analysis import Traffic, count_traffic
from ..parity import relative_difference
from .attention import fold_attention
from .ccw import merge_ccw
from .fold import fold_norms, fold_positions
from .fusion_layers import fold_doubling, nest_upsampling
from .shuffle_removal import CHANNEL_LAYOUTS, remove_shuffles
from .targets import (
    convolve_attention,
    convolve_reorders,
    fuse_for_eager,
    order_for_eager,
    stay_in_blocks,
)

__all__ = ['CHANNEL_LAYOUTS', 'TARGETS', 'Gain', 'gains', 'list_passes', 'optimize']

Pass = Callable[[nn.Module], nn.Module]
TARGETS = dict(graph='runs', eager='runs', onnxruntime='blocks', openvino='full')
"""What networks are optimized for, and the layout that suits it best."""
OWN: dict[str, dict[str, Pass]] = {
    'eager': {'fuse for eager': fuse_for_eager, 'order for eager': order_for_eager},
    'onnxruntime': {'stay in blocks': stay_in_blocks},
    'openvino': {
        'convolve attention': convolve_attention,
        'convolve reorders': convolve_reorders,
    },
}
"""Target to the passes that it alone takes."""


def list_passes(
    target: str = 'graph',
    layout: str | None = None,
    image_size: tuple[int, int] | None = None,
) -> dict[str, Pass]:
    """The passes of :func:`optimize`, by name, in the order that they need."""
    if target not in TARGETS:
        raise ValueError(f'target must be one of {tuple(TARGETS)}, got {target!r}')
    layout = TARGETS[target] if layout is None else layout
    return {
        'fold norms': fold_norms,
        'fold positions': fold_positions,
        'fold attention': partial(fold_attention, image_size=image_size),
        'fold doubling': fold_doubling,
        'nest up-sampling': nest_upsampling,
        'merge ccw': merge_ccw,
        'remove shuffles': partial(remove_shuffles, layout=layout),
        **OWN.get(target, {}),
    }


def _steps(model: nn.Module, **options: Any) -> Iterator[tuple[str, nn.Module]]:
    """Name of each pass, and the network after it (the same object, changed)."""
    model = copy.deepcopy(model).eval().requires_grad_(False)
    yield 'as trained', model
    for name, step in list_passes(**options).items():
        # Not around the yield: two chains that take turns would leave it on.
        with torch.no_grad():
            model = step(model).eval().requires_grad_(False)
        yield name, model


def optimize(
    model: nn.Module,
    target: str = 'graph',
    layout: str | None = None,
    image_size: tuple[int, int] | None = None,
) -> nn.Module:
    """A network that computes the same with fewer operators and less memory traffic.

    What a pass does not know it leaves, so any network may be given: those of other
    families have at least their norms folded.

    Args:
        model: A backbone, a head, or a pose estimator of MMPose; left as it is.
        target: ``'graph'`` for tracing and export to any engine; ``'onnxruntime'`` and
            ``'openvino'`` for export to these, in the form that they are fastest with;
            ``'eager'`` for running it in PyTorch, in eval mode without gradients.
        layout: How shuffles are removed, see :func:`remove_shuffles`; None is what
            suits the target best.
        image_size: Height and width of every image to come, if known; images of another
            size may then fail.

    Raises:
        ValueError: If ``target`` or ``layout`` is unknown.
    """
    *_, (_, last) = _steps(model, target=target, layout=layout, image_size=image_size)
    return last


@dataclass(frozen=True)
class Gain:
    """What a network costs and computes after a pass and all before it.

    Attributes:
        traffic: Operators and bytes of one image.
        difference: Largest difference of an output in double precision, over the
            largest output of the network as trained; ``difference_f32`` in single.
    """

    name: str
    traffic: Traffic
    difference: float
    difference_f32: float


def _outputs(model: nn.Module, image: Tensor) -> list[Tensor]:
    run = getattr(model, '_forward', model)
    with torch.no_grad():
        outputs = run(image)
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def gains(model: nn.Module, image: Tensor, **options: Any) -> list[Gain]:
    """What every pass gains, cumulatively, and how exact it is.

    Traffic is counted and outputs compared on the image, a batch ``(B, 3, H, W)`` in
    single precision. The first row is the network as trained; options are those of
    :func:`optimize`.
    """
    rows: list[Gain] = []
    exact = copy.deepcopy(model).double()
    chains = zip(_steps(model, **options), _steps(exact, **options), strict=True)
    references: list[list[Tensor]] = []
    for (name, single), (_, double) in chains:
        outputs = [_outputs(single, image), _outputs(double, image.double())]
        references = references or outputs
        single_off, double_off = map(relative_difference, outputs, references)
        kinds = count_traffic(partial(_outputs, single, image))
        total = sum(kinds.values(), Traffic())
        rows.append(Gain(name, total, double_off, single_off))
    return rows
