"""All rewrites in order, and what each of them gains."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...analysis import Traffic, count_traffic
from .attention import AxisAttention, fold_attention
from .blocks import stay_in_blocks
from .convolving import convolve_attention, convolve_reorders
from .eager import fuse_for_eager
from .exchange import fold_doubling, nest_upsampling
from .norms import fold_norms
from .shuffles import absorb_shuffles
from .tokens import fold_positions
from .weighting import merge_weightings

TARGETS = {
    'graph': 'runs',
    'eager': 'runs',
    'onnxruntime': 'blocks',
    'openvino': 'full',
}
"""What networks are rewritten for, and the layout that suits it best."""

Rewrite = Callable[[nn.Module], nn.Module]


def order_for_eager(model: nn.Module) -> nn.Module:
    """Lay maps out channel last, as eager convolutions on CPU are fastest.

    Networks with attention along image axes stay as they are: their products with the
    map read it channel by channel.

    Args:
        model: A network, rewritten in place.
    """
    if any(isinstance(module, AxisAttention) for module in model.modules()):
        return model
    return model.to(memory_format=torch.channels_last)


def rewrites(
    target: str = 'graph',
    layout: str | None = None,
    image_size: tuple[int, int] | None = None,
) -> dict[str, Rewrite]:
    """The rewrites of :func:`optimize`, by name, in the order that they need.

    Args:
        target: See there, as the others.
        layout: See there.
        image_size: See there.

    Raises:
        ValueError: If ``target`` is unknown.
    """
    if target not in TARGETS:
        raise ValueError(f'target must be one of {tuple(TARGETS)}, got {target!r}')
    layout = TARGETS[target] if layout is None else layout
    steps: dict[str, Rewrite] = {
        'fold norms': fold_norms,
        'fold positions': fold_positions,
        'fold attention': partial(fold_attention, image_size=image_size),
        'fold doubling': fold_doubling,
        'nest up-sampling': nest_upsampling,
        'merge weightings': merge_weightings,
        'absorb shuffles': partial(absorb_shuffles, layout=layout),
    }
    if target == 'eager':
        steps['fuse for eager'] = fuse_for_eager
        steps['order for eager'] = order_for_eager
    elif target == 'onnxruntime':
        steps['stay in blocks'] = stay_in_blocks
    elif target == 'openvino':
        steps['convolve attention'] = convolve_attention
        steps['convolve reorders'] = convolve_reorders
    return steps


def _frozen_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode whose parameters want no gradient."""
    copied = copy.deepcopy(model)
    copied.eval()
    return copied.requires_grad_(False)


def _steps(model: nn.Module, **options: Any) -> Iterator[tuple[str, nn.Module]]:
    """Name of each rewrite, and the network after it (the same object, changed)."""
    model = _frozen_copy(model)
    yield 'as trained', model
    for name, step in rewrites(**options).items():
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

    What a rewrite does not know it leaves, so any network may be given: those of other
    families have at least their norms folded.

    Args:
        model: A backbone, a head, or a pose estimator of MMPose; left as it is.
        target: ``'graph'`` for tracing and export to any engine; ``'onnxruntime'`` and
            ``'openvino'`` for export to these, in the form that they are fastest with;
            ``'eager'`` for running it in PyTorch, where work in place and fused
            operators replace what engines do by themselves.
        layout: How shuffles are absorbed, see :func:`absorb_shuffles`; None is what
            suits the target best.
        image_size: Height and width of every image to come, if known; images of another
            size may then fail.

    Returns:
        A new network in eval mode, without gradients.

    Raises:
        ValueError: If ``target`` or ``layout`` is unknown.
    """
    options = dict(target=target, layout=layout, image_size=image_size)
    for _, rewritten in _steps(model, **options):
        last = rewritten
    return last


@dataclass(frozen=True)
class Gain:
    """What a network costs and computes after a rewrite and all before it.

    Attributes:
        name: Of the rewrite.
        traffic: Operators and bytes of one image.
        difference: Largest difference of an output in double precision, over the
            largest output of the network as trained.
        difference_f32: The same of both in single precision.
    """

    name: str
    traffic: Traffic
    difference: float
    difference_f32: float


def _outputs(model: nn.Module, image: Tensor) -> list[Tensor]:
    """Outputs of a backbone, or of a pose estimator."""
    run = getattr(model, '_forward', model)
    with torch.no_grad():
        outputs = run(image)
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def relative_difference(outputs: list[Tensor], reference: list[Tensor]) -> float:
    """Largest difference of any output over the largest value of its reference."""
    return max(
        float((a - b).abs().max() / b.abs().max().clamp_min(1e-300))
        for a, b in zip(outputs, reference, strict=True)
    )


def gains(model: nn.Module, image: Tensor, **options: Any) -> list[Gain]:
    """What every rewrite gains, cumulatively, and how exact it is.

    Args:
        model: As of :func:`optimize`; left as it is.
        image: Batch ``(B, 3, H, W)`` in single precision that the traffic is counted on
            and outputs compared.
        **options: Of :func:`optimize`.

    Returns:
        A row for the network as trained, then one per rewrite.
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
