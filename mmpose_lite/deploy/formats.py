"""Model files of every format and precision, as bytes."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .native import compile_network
from .onnx_export import INPUT, OUTPUT, VECTORS, EstimatorGraph, to_onnx
from .passes import optimize
from .runtime import Contract, digests, extra
from .runtime.codecs import axis_split
from .runtime.contract import METADATA_KEY

Files = dict[str, bytes]
"""Suffix to content."""
NEEDED = {
    'onnx': ('onnx', 'onnxruntime'),
    'openvino': ('onnx', 'openvino'),
    'native': (),
}
"""Format to the packages that writing and running it takes."""
ENGINES = {'onnx': 'onnxruntime', 'openvino': 'openvino'}
"""Format to the engine that networks are rewritten for."""


def check_packages(form: str, precision: str) -> dict[str, str]:
    """Versions of what writing and running a format takes.

    Raises:
        ImportError: If a package is missing; the message says how to get it.
    """
    names = NEEDED[form] + (('onnxruntime',) if precision == 'int8' else ())
    return {name: str(extra(name).__version__) for name in dict.fromkeys(names)}


def write(
    estimator: nn.Module,
    contract: Contract,
    quantize: Callable[[bytes], bytes] | None = None,
) -> tuple[Files, Contract]:
    """Model files of an estimator.

    Args:
        estimator: The pose estimator, left as it is.
        contract: What is to be written.
        quantize: From an ONNX graph to one of int8; only for that precision.

    Returns:
        Suffix to content; the contract with the files' digests.

    Raises:
        ValueError: If the network cannot be written so.
        ImportError: If a package is missing.
        RuntimeError: If a network is to be compiled and no compiler can.
    """
    if contract.format == 'native':
        files = _native(estimator, contract)
        return files, replace(contract, sha256=digests(files))
    width, height = contract.input_size
    network = estimator
    if contract.optimized:
        target = ENGINES[contract.format]
        network = optimize(estimator, target, image_size=(height, width))
    outputs = (OUTPUT,) if axis_split(contract) is None else VECTORS
    data = to_onnx(
        EstimatorGraph(network),
        torch.zeros(1, 3, height, width),
        batch=contract.batch or 'dynamic',
        opset=contract.opset,
        names=(INPUT, *outputs),
    )
    if contract.precision == 'int8':
        if quantize is None:
            raise ValueError('precision int8 needs images to calibrate on')
        data = quantize(data)
    files = _WRITERS[contract.format](data, contract)
    return files, replace(contract, sha256=digests(files))


def _native(estimator: nn.Module, contract: Contract) -> Files:
    wanted = dict(precision='fp32', optimized=True)
    for name, value in wanted.items():
        if getattr(contract, name) != value:
            raise ValueError(
                f'{name} must be {value!r} for the format native, got '
                f'{getattr(contract, name)!r}'
            )
    if contract.batch is None:
        raise ValueError("batch must be a number for the format native, not 'dynamic'")
    width, height = contract.input_size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'network.so')
        compile_network(
            EstimatorGraph(estimator), (height, width), path, batch=contract.batch
        )
        return {'.so': path.read_bytes()}


def _onnx(data: bytes, contract: Contract) -> Files:
    onnx = extra('onnx')
    model = onnx.load_from_string(data)
    if contract.precision == 'fp16':
        halve_weights(model)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, contract.inner().to_json()
    onnx.checker.check_model(model)
    return {'.onnx': model.SerializeToString()}


def halve_weights(model: Any) -> None:
    """Store weights in half precision; engines turn them back when they load the file.

    So the file is half as large while everything is still computed in float32, which is
    what processors without half precision do anyway.

    Args:
        model: ONNX model, changed in place.

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


def _openvino(data: bytes, contract: Contract) -> Files:
    openvino = extra('openvino')
    model = openvino.Core().read_model(io.BytesIO(data))
    model.set_rt_info(contract.inner().to_json(), [METADATA_KEY])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'model.xml')
        half = contract.precision == 'fp16'
        openvino.save_model(model, path, compress_to_fp16=half)
        return {
            suffix: Path(path).with_suffix(suffix).read_bytes()
            for suffix in ('.xml', '.bin')
        }


_WRITERS: Mapping[str, Callable[[bytes, Contract], Files]] = {
    'onnx': _onnx,
    'openvino': _openvino,
}
