"""ONNX: traced by PyTorch's exporter, patched for strict engines."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.onnx.errors import OnnxExporterError

from .runtime import Contract, extra

OPSET = Contract.opset  # which engines of several years understand
INPUT, OUTPUT = 'images', 'heatmaps'
VECTORS = ('simcc_x', 'simcc_y')  # of SimCC's two outputs, as others call them too


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
        names: Of the graph's input and of its outputs, at least of the first.

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
    file = io.BytesIO()
    options = dict(
        input_names=[names[0]],
        output_names=list(names[1:]),
        dynamic_axes={n: {0: 'batch'} for n in names} if batch == 'dynamic' else None,
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
    return _patched(file.getvalue())


def _patched(data: bytes) -> bytes:
    onnx = extra('onnx')
    model = onnx.load_from_string(data)
    nodes: list[Any] = []
    kinds: dict[str, int] = {}
    for node in model.graph.node:
        options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if 'value' in options:
            kinds[node.output[0]] = getattr(options['value'], 'data_type', None)
        if node.op_type == 'EyeLike':
            kind = options.get('dtype', kinds.get(node.input[0]))
            truth = kind == onnx.TensorProto.BOOL
            nodes += _eye(onnx, node, options) if truth else [node]
            continue
        if node.op_type == 'Transpose' and node.attribute:
            axes = node.attribute[0].ints  # of `movedim` counted from the end
            axes[:] = [axis % len(axes) for axis in axes]
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()


def _eye(onnx: Any, node: Any, options: dict[str, Any]) -> list[Any]:
    """A diagonal of truth values, made of numbers."""
    make, kinds = onnx.helper.make_node, onnx.TensorProto
    before, after = (f'{node.output[0]}_{end}' for end in ('shape', 'numbers'))
    options = {**options, 'dtype': kinds.FLOAT}
    return [
        make('Cast', node.input, [before], f'{node.name}_shape', to=kinds.FLOAT),
        make('EyeLike', [before], [after], node.name, **options),
        make('Cast', [after], node.output, f'{node.name}_cast', to=kinds.BOOL),
    ]


def halve_weights(model: Any) -> None:
    """Store weights in half precision; engines turn them back when they load the file.

    So the file is half as large while everything is still computed in float32, which is
    what processors without half precision do anyway. The model is changed in place.

    Raises:
        ValueError: If a weight is too large for half precision.
    """
    onnx = extra('onnx')
    casts = []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 2:
            continue
        with np.errstate(over='ignore'):
            halved = values.astype(np.float16)
        if not np.isfinite(halved).all():
            raise ValueError(f'{tensor.name} is too large for fp16')
        name, stored = tensor.name, f'{tensor.name}_fp16'
        tensor.CopyFrom(onnx.numpy_helper.from_array(halved, stored))
        casts.append(onnx.helper.make_node(
            'Cast', [stored], [name], f'{name}_cast', to=onnx.TensorProto.FLOAT
        ))  # fmt: skip
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
