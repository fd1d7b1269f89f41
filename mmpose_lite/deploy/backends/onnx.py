"""ONNX: traced by PyTorch's exporter, patched for strict engines."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.onnx.errors import OnnxExporterError

from ..runtime import Contract, extra
from ..runtime.codecs import axis_split
from ..runtime.contract import METADATA_KEY
from .base import Backend, Files

OPSET = Contract.opset
"""Version of ONNX's operators that engines of several years understand."""
INPUT, OUTPUT = 'images', 'heatmaps'
"""Names of a graph's input and of its first output."""
VECTORS = ('simcc_x', 'simcc_y')
"""Names of outputs that are vectors along x and along y, as others call them too."""


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
    return patched(file.getvalue())


def patched(data: bytes) -> bytes:
    """A file whose graph says the same to engines that are strict."""
    onnx = extra('onnx')
    model = onnx.load_from_string(data)
    nodes: list[Any] = []
    makers: dict[str, Any] = {}
    changed = False
    for node in model.graph.node:
        makers.update(dict.fromkeys(node.output, node))
        patch = _PATCHES.get(node.op_type)
        steps = patch(onnx, node, makers) if patch else None
        changed |= steps is not None
        nodes += [node] if steps is None else steps
    if not changed:
        return data
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()


def _attributes(onnx: Any, node: Any) -> dict[str, Any]:
    found = node.attribute if node is not None else ()
    return {one.name: onnx.helper.get_attribute_value(one) for one in found}


def _transpose(onnx: Any, node: Any, makers: Mapping[str, Any]) -> list[Any] | None:
    """Axes counted from the start: ``movedim`` writes negative ones."""
    axes = list(node.attribute[0].ints) if node.attribute else []
    if not axes or min(axes) >= 0:
        return None
    positive = [axis % len(axes) for axis in axes]
    return [onnx.helper.make_node(
        'Transpose', node.input, node.output, node.name, perm=positive
    )]  # fmt: skip


def _eye(onnx: Any, node: Any, makers: Mapping[str, Any]) -> list[Any] | None:
    """A diagonal of numbers, made truth values afterwards."""
    kinds = onnx.TensorProto
    options = _attributes(onnx, node)
    kind = options.get('dtype')
    if kind is None:  # then it is that of the input
        value = _attributes(onnx, makers.get(node.input[0])).get('value')
        kind = value.data_type if value is not None else None
    if kind != kinds.BOOL:
        return None
    before, after = (f'{node.output[0]}_{end}' for end in ('shape', 'numbers'))
    make = onnx.helper.make_node
    options['dtype'] = kinds.FLOAT
    return [
        make('Cast', node.input, [before], f'{node.name}_shape', to=kinds.FLOAT),
        make('EyeLike', [before], [after], node.name, **options),
        make('Cast', [after], node.output, f'{node.name}_cast', to=kinds.BOOL),
    ]


_PATCHES = {'Transpose': _transpose, 'EyeLike': _eye}


def trace(network: nn.Module, contract: Contract) -> bytes:
    """ONNX of a network as its contract describes it."""
    width, height = contract.input_size
    outputs = (OUTPUT,) if axis_split(contract) is None else VECTORS
    return to_onnx(
        network,
        torch.zeros(1, 3, height, width),
        batch=contract.batch or 'dynamic',
        opset=contract.opset,
        names=(INPUT, *outputs),
    )


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


def write(network: nn.Module, contract: Contract) -> Files:
    """Files of a network, as of :attr:`Backend.write`."""
    onnx = extra('onnx')
    model = onnx.load_from_string(trace(network, contract))
    if contract.precision == 'fp16':
        halve_weights(model)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, contract.inner().to_json()
    onnx.checker.check_model(model)
    return {'.onnx': model.SerializeToString()}


ONNX = Backend('onnx', ('onnx', 'onnxruntime'), 'onnxruntime', write)
