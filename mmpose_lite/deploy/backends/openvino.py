"""OpenVINO's own format: a graph and, beside it, its weights."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from torch import nn

from ..runtime import Contract, extra
from ..runtime.contract import FORMATS, METADATA_KEY
from .base import Backend, Files
from .onnx import trace


def write(network: nn.Module, contract: Contract) -> Files:
    """Files of a network, as of :attr:`Backend.write`."""
    openvino = extra('openvino')
    model = openvino.Core().read_model(io.BytesIO(trace(network, contract)))
    model.set_rt_info(contract.inner().to_json(), [METADATA_KEY])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'model.xml')
        half = contract.precision == 'fp16'
        openvino.save_model(model, str(path), compress_to_fp16=half)
        return {
            suffix: path.with_suffix(suffix).read_bytes()
            for suffix in FORMATS['openvino']
        }


OPENVINO = Backend('openvino', ('onnx', 'openvino'), 'openvino', write)
