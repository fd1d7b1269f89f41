"""A network of PyTorch as an ONNX graph."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Literal

import torch
from torch import Tensor, nn
from torch.onnx.errors import OnnxExporterError

from .onnx_mending import mended

OPSET = 17
"""Version of ONNX's operators that engines of several years understand."""
INPUT, OUTPUT = 'images', 'heatmaps'
"""Names of a graph's input and of its first output."""
VECTORS = ('simcc_x', 'simcc_y')
"""Names of outputs that are vectors along x and along y, as others call them too."""


class EstimatorGraph(nn.Module):
    """A pose estimator of MMPose as a function from images to heatmaps.

    Args:
        estimator: The pose estimator, with backbone and head.

    Shape:
        - Input: ``(B, 3, H, W)``, normalised.
        - Output: ``(B, K, h, w)``, or what the head gives instead: vectors
          ``(B, K, Wx)`` and ``(B, K, Wy)``.
    """

    def __init__(self, estimator: nn.Module) -> None:
        super().__init__()
        self.estimator = estimator
        self.training = estimator.training

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Heatmaps before decoding."""
        return self.estimator(images, None, mode='tensor')


def to_onnx(
    network: nn.Module,
    x: Tensor,
    *,
    batch: int | Literal['dynamic'] = 1,
    opset: int = OPSET,
    names: Sequence[str] = (INPUT, OUTPUT),
) -> bytes:
    """Trace a network and write it as ONNX.

    The exporter is the one that goes through TorchScript: the newer one takes ten times
    as long for these networks, and there are hundreds of them in a latency table.

    Args:
        network: Any network of one tensor; left in the mode (train or eval) that it is
            in, but traced in eval mode. A pose estimator goes in as
            :class:`EstimatorGraph`.
        x: An input, whose first image is traced; ``(B, 3, H, W)`` for whole networks.
        batch: How many inputs the graph takes at a time.
        opset: Version of ONNX's operators.
        names: Of the graph's input and of its outputs, at least of the first.

    Returns:
        The file's content. Nothing is compared here.

    Raises:
        ValueError: If ``batch`` is neither at least 1 nor ``'dynamic'``, or if ONNX has
            no form of something in the network; adaptive pooling of batches of any size
            is such a thing, which :func:`optimize` replaces.
        ImportError: If onnx is not installed.
    """
    if batch != 'dynamic' and not (isinstance(batch, int) and batch >= 1):
        raise ValueError(f"batch must be at least 1 or 'dynamic', got {batch!r}")
    # Two, so that no size of one is taken for something to be broadcast.
    count = 2 if batch == 'dynamic' else batch
    sample = x[:1].expand(count, *x.shape[1:]).contiguous()
    axes = {name: {0: 'batch'} for name in names} if batch == 'dynamic' else None
    file = io.BytesIO()
    options = dict(
        input_names=[names[0]],
        output_names=list(names[1:]),
        dynamic_axes=axes,
        opset_version=opset,
        dynamo=False,
    )
    modes = [(module, module.training) for module in network.modules()]
    # What fails prints thousands of lines of its graph before it says why.
    with warnings.catch_warnings(), torch.no_grad(), redirect_stdout(io.StringIO()):
        warnings.filterwarnings('ignore', category=DeprecationWarning)
        warnings.filterwarnings('ignore', category=torch.jit.TracerWarning)
        # What the exporter does not fold or infer, engines do.
        for message in ('Constant folding', 'ComputeShapeFromReshape'):
            warnings.filterwarnings('ignore', message, UserWarning)
        try:
            torch.onnx.export(network, (sample,), file, **options)
        except OnnxExporterError as error:
            reason = str(error).partition(' [Caused by')[0].partition('. Please')[0]
            raise ValueError(
                f'the network cannot be written as ONNX with batch={batch!r}: {reason}'
            ) from error
        finally:
            # The exporter gives all modules the mode that the outermost one had.
            for module, training in modes:
                module.training = training
    return mended(file.getvalue())
