"""Formats that networks are exported to, a record each.

A further one also takes rows of ``FORMATS`` and ``ENGINES``, by which it is run.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from .native.compiler import compiled
from .onnx import INPUT, OUTPUT, VECTORS, halve_weights, to_onnx
from .runtime import Contract, extra
from .runtime.codecs import axis_split
from .runtime.contract import FORMATS, METADATA_KEY

Files = dict[str, bytes]  # suffix to content


@dataclass(frozen=True)
class Backend:
    """A format, and all that an export asks of it.

    Attributes:
        name: A key of ``FORMATS``.
        needs: Packages for writing and running it.
        target: What networks are optimized for, see
            :func:`mmpose_lite.deploy.optimize`.
        write: From a network of images ``(B, 3, H, W)`` and its contract to the files.
        traced: Whether models may take batches of any size, and networks need not be
            optimized.
    """

    name: str
    needs: tuple[str, ...]
    target: str
    write: Callable[[nn.Module, Contract], Files]
    precisions: tuple[str, ...] = ('fp32', 'fp16')
    traced: bool = True

    def check(self, precision: str, batch: int | None, optimized: bool) -> None:
        """Raise ValueError, which names the argument, for what the format refuses."""
        wanted = ''
        if precision not in self.precisions:
            wanted = f'precision must be one of {self.precisions}, got {precision!r}'
        elif batch is None and not self.traced:
            wanted = "batch must be a number, not 'dynamic'"
        elif not (optimized or self.traced):
            wanted = f'optimized must be True, got {optimized!r}'
        if wanted:
            raise ValueError(f'{wanted}; the format is {self.name}')


def _trace(network: nn.Module, contract: Contract) -> bytes:
    width, height = contract.input_size
    outputs = (OUTPUT,) if axis_split(contract) is None else VECTORS
    return to_onnx(
        network,
        torch.zeros(1, 3, height, width),
        batch=contract.batch or 'dynamic',
        opset=contract.opset,
        names=(INPUT, *outputs),
    )


def _write_onnx(network: nn.Module, contract: Contract) -> Files:
    onnx = extra('onnx')
    model = onnx.load_from_string(_trace(network, contract))
    if contract.precision == 'fp16':
        halve_weights(model)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, contract.inner().to_json()
    onnx.checker.check_model(model)
    return {'.onnx': model.SerializeToString()}


def _write_openvino(network: nn.Module, contract: Contract) -> Files:
    openvino = extra('openvino')
    model = openvino.Core().read_model(io.BytesIO(_trace(network, contract)))
    model.set_rt_info(contract.inner().to_json(), [METADATA_KEY])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'model.xml')
        half = contract.precision == 'fp16'
        openvino.save_model(model, str(path), compress_to_fp16=half)
        return {s: path.with_suffix(s).read_bytes() for s in FORMATS['openvino']}


def _write_native(network: nn.Module, contract: Contract) -> Files:
    width, height = contract.input_size
    assert contract.batch is not None
    return {'.so': compiled(network, (height, width), contract.batch)}


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend('onnx', ('onnx', 'onnxruntime'), 'onnxruntime', _write_onnx),
        Backend('openvino', ('onnx', 'openvino'), 'openvino', _write_openvino),
        Backend('native', (), 'graph', _write_native, ('fp32',), traced=False),
    )
}


def find_backend(out: str | os.PathLike[str], name: str | None = None) -> Backend:
    """Record of the named format, or that of a suffix; ValueError if there is none."""
    if name is None:
        forms = {suffixes[0]: form for form, suffixes in FORMATS.items()}
        name = forms.get(Path(out).suffix)
        if name is None:
            raise ValueError(f'out must end in one of {tuple(forms)}, got {out}')
    if name not in BACKENDS:
        raise ValueError(f'format must be one of {tuple(BACKENDS)}, got {name!r}')
    return BACKENDS[name]
