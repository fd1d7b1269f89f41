"""Stand-in for mmcv's compiled operators, ``mmcv._ext``, where they do not load.

mmcv-lite has the Python half of every operator of mmcv; this module has the other half
of those that MMPose's and mmdet's common models call. :mod:`mmpose_lite.compat` puts it
in the place of ``mmcv._ext`` and leaves compiled operators alone.

- ``nms`` is torchvision's where its compiled part loads, else the same in torch.
- RoIAlign (average pooling) and deformable convolutions, both versions, are
  torchvision's; their gradients come from autograd.
- Any other operator exists, as mmcv wants it while it is imported, and raises
  NotImplementedError when it is called.

Functions have the signatures of mmcv 2.1; results go into tensors that they are given.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

HINT = (
    'install mmcv with its operators for this torch: pip install --no-build-isolation '
    'mmcv==2.1.0, with MMCV_WITH_OPS=1 and a C++ compiler'
)


@functools.cache
def torchvision_ops() -> ModuleType | None:
    """``torchvision.ops``, or None where its compiled part does not load."""
    try:
        from torchvision import ops

        ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (ImportError, RuntimeError, OSError):
        return None
    return ops


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes that no better one overlaps, best first.

    Args:
        boxes: ``(N, 4)``, left, top, right, bottom.
        scores: ``(N,)``; of equal ones the first is the better.
        iou_threshold: Overlap beyond which the worse box goes.
        offset: Added to widths and heights, 0 or 1 px.
    """
    ops = torchvision_ops()
    if offset == 0 and ops is not None:
        return ops.nms(boxes, scores, iou_threshold)
    left, top, right, bottom = boxes.unbind(1)
    areas = (right - left + offset) * (bottom - top + offset)
    rest = scores.sort(stable=True, descending=True).indices
    kept = []
    while len(rest):
        best, rest = rest[0], rest[1:]
        kept.append(best)
        width = right[rest].minimum(right[best]) - left[rest].maximum(left[best])
        height = bottom[rest].minimum(bottom[best]) - top[rest].maximum(top[best])
        shared = (width + offset).clamp(min=0) * (height + offset).clamp(min=0)
        overlap = shared / (areas[best] + areas[rest] - shared)
        # In double precision the threshold is not rounded.
        rest = rest[~(overlap.double() > iou_threshold)]
    return torch.stack(kept) if kept else rest


def roi_align_forward(
    input: Tensor, rois: Tensor, output: Tensor, *argmax: Tensor, **how: Any
) -> None:
    """RoIAlign of ``input`` ``(N, C, H, W)`` into ``output`` ``(R, C, h, w)``."""
    output.copy_(_roi_align(input, rois, how))


def roi_align_backward(
    grad_output: Tensor, rois: Tensor, *rest: Tensor, **how: Any
) -> None:
    """Gradient of RoIAlign into its last positional argument."""
    *_, grad_input = rest
    # RoIAlign is linear in its input, so any input does.
    _backward(
        lambda x: _roi_align(x, rois, how),
        [torch.zeros_like(grad_input)],
        grad_output,
        [grad_input],
    )


def _roi_align(input: Tensor, rois: Tensor, how: dict[str, Any]) -> Tensor:
    if how['pool_mode'] != 1:
        return _absent('roi_align_forward, pool_mode max')()
    size = how['aligned_height'], how['aligned_width']
    options = {key: how[key] for key in ('spatial_scale', 'sampling_ratio', 'aligned')}
    return _from_torchvision('roi_align')(input, rois, size, **options)


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    *_: Tensor,
    **how: Any,
) -> None:
    """Deformable convolution into ``output``."""
    output.copy_(_deform_conv(input, offset, weight, how=how))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    *_: Tensor,
    **how: Any,
) -> None:
    """Gradients of the deformable convolution with respect to input and offsets."""
    _backward(
        lambda x, o: _deform_conv(x, o, weight, how=how),
        [input, offset],
        grad_output,
        [grad_input, grad_offset],
    )


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    *_: Tensor,
    **how: Any,
) -> None:
    """Gradient of the deformable convolution with respect to its weight."""
    _backward(
        lambda w: _deform_conv(input, offset, w, how=how),
        [grad_weight],
        grad_output,
        [grad_weight],
    )


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    **how: Any,
) -> None:
    """Modulated deformable convolution into ``output``."""
    given = bias if how['with_bias'] else None
    output.copy_(_deform_conv(input, offset, weight, mask, given, how=how))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    **how: Any,
) -> None:
    """All gradients of the modulated deformable convolution."""
    inputs = [input, offset, weight, mask, bias]
    targets = [grad_input, grad_offset, grad_weight, grad_mask, grad_bias]
    if not how['with_bias']:
        inputs, targets = inputs[:-1], targets[:-1]
    _backward(
        lambda *values: _deform_conv(*values, how=how), inputs, grad_output, targets
    )


def _deform_conv(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    how: dict[str, Any],
) -> Tensor:
    """Torchvision's, which reads the groups from the shapes."""
    # mmcv's two versions name their arguments differently.
    names = (
        ('stride', ('dH', 'dW'), ('stride_h', 'stride_w')),
        ('padding', ('padH', 'padW'), ('pad_h', 'pad_w')),
        ('dilation', ('dilationH', 'dilationW'), ('dilation_h', 'dilation_w')),
    )
    pairs = {name: (a if a[0] in how else b) for name, a, b in names}
    options = {name: (how[h], how[w]) for name, (h, w) in pairs.items()}
    convolve = _from_torchvision('deform_conv2d')
    return convolve(input, offset, weight, bias, mask=mask, **options)


def _backward(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    grad_output: Tensor,
    targets: Sequence[Tensor],
) -> None:
    """Gradients of a function with respect to its inputs, into ``targets``."""
    leaves = [value.detach().requires_grad_() for value in inputs]
    with torch.enable_grad():
        gradients = torch.autograd.grad(function(*leaves), leaves, grad_output)
    for target, gradient in zip(targets, gradients, strict=True):
        target.copy_(gradient)


def _from_torchvision(name: str) -> Callable[..., Tensor]:
    ops = torchvision_ops()
    return _absent(name) if ops is None else getattr(ops, name)


def get_compiler_version() -> str:
    """What mmcv reports of the compiler of its operators."""
    return 'n/a'


def get_compiling_cuda_version() -> str:
    """What mmcv reports of the CUDA version of its operators."""
    return 'not available'


def _absent(name: str) -> Callable[..., Any]:
    """Operator that raises when it is called."""

    def operator(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f'mmcv has no compiled operators here, and nothing stands in for {name!r}; '
            f'{HINT}'
        )

    return operator


def __getattr__(name: str) -> Callable[..., Any]:
    if name.startswith('_'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return _absent(name)
