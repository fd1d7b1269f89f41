"""The same module on PyTorch, ONNX Runtime or OpenVINO, ready to be timed."""

from __future__ import annotations

import io
import platform
from collections.abc import Callable
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmpose_lite.deploy import to_onnx

# Engine to the packages it needs, the first being the engine itself.
ENGINES = {
    'pytorch': ('torch',),
    'onnxruntime': ('onnxruntime', 'onnx'),
    'openvino': ('openvino', 'onnx'),
}

# What an engine can compute in; what else was asked for is an error.
PRECISIONS = {
    'pytorch': ('f32',),
    'onnxruntime': ('f32',),
    'openvino': ('f32', 'bf16'),
}

# ONNX Runtime's blocked kernels take widths that are multiples of 4; with others, the
# 7x7 depthwise convolution was seen to take 5 times as long.
FAST_MULTIPLES = {'onnxruntime': 4}


def check_engine(engine: str) -> None:
    """Make sure that an engine can be used.

    Raises:
        ValueError: If a package is missing.
    """
    missing = [name for name in ENGINES[engine] if util.find_spec(name) is None]
    if missing:
        names = ' '.join(missing)
        raise ValueError(
            f'engine {engine} needs packages that are not installed; '
            f'run: pip install {names}'
        )


def versions(engine: str) -> dict[str, str]:
    """Versions of all that has a say in the speed."""
    names = dict.fromkeys(('torch', *ENGINES[engine]))
    found = {name: str(import_module(name).__version__) for name in names}
    return {'python': platform.python_version(), **found}


def cpu_model() -> str:
    """The processor's name."""
    info = Path('/proc/cpuinfo')
    if info.is_file():
        for line in info.read_text(encoding='utf-8').splitlines():
            key, _, value = line.partition(':')
            if key.strip() == 'model name':
                return value.strip()
    return platform.processor() or 'unknown'


def prepare(
    engine: str, module: nn.Module, x: Tensor, threads: int, precision: str = 'f32'
) -> Callable[[], Any]:
    """A call of ``module`` with ``x``.

    PyTorch runs the module as it is, eagerly and with its batch norms: so runs what
    ``init_model`` returns. The others fold batch norms.

    Args:
        engine: A key of ``ENGINES``.
        module: What to call; it is put into eval mode.
        x: Its only argument.
        threads: Threads for one call.
        precision: As of :func:`load`.

    Raises:
        ValueError: As of :func:`load`.
    """
    check_precision(engine, precision)
    module = module.eval()
    if engine == 'pytorch':
        torch.set_num_threads(threads)
        return lambda: module(x)
    return load(engine, to_onnx(module, x, batch=len(x)), x, threads, precision)


def load(
    engine: str, model: bytes, x: Tensor, threads: int, precision: str = 'f32'
) -> Callable[[], list[np.ndarray]]:
    """A call of an exported model with ``x``; it returns all outputs.

    Args:
        engine: A key of ``ENGINES`` that runs ONNX.
        model: ONNX, of one input.
        x: The input.
        threads: Threads for one call.
        precision: Of ``PRECISIONS[engine]``, what the engine computes in.

    Raises:
        ValueError: If the engine does not know the precision, or this processor does
            not compute in it.
    """
    check_precision(engine, precision)
    if engine == 'onnxruntime':
        return _onnxruntime(model, x, threads)
    return _openvino(model, x, threads, precision)


def check_precision(engine: str, precision: str) -> None:
    """Make sure that an engine can compute in a precision.

    Raises:
        ValueError: If not.
    """
    if precision not in PRECISIONS[engine]:
        raise ValueError(
            f'precision of {engine} must be one of {PRECISIONS[engine]}, '
            f'got {precision!r}'
        )


def _onnxruntime(
    model: bytes, x: Tensor, threads: int
) -> Callable[[], list[np.ndarray]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model, options, providers=['CPUExecutionProvider']
    )
    feed = {session.get_inputs()[0].name: x.numpy()}
    return lambda: session.run(None, feed)


def _openvino(
    model: bytes, x: Tensor, threads: int, precision: str
) -> Callable[[], list[np.ndarray]]:
    import openvino

    core = openvino.Core()
    options = dict(
        INFERENCE_NUM_THREADS=threads,
        PERFORMANCE_HINT='LATENCY',
        INFERENCE_PRECISION_HINT=precision,
    )
    compiled = core.compile_model(core.read_model(io.BytesIO(model)), 'CPU', options)
    actual = compiled.get_property('INFERENCE_PRECISION_HINT').to_string()
    if actual != precision:
        raise ValueError(f'this processor computes in {actual}, not in {precision}')
    request, array = compiled.create_infer_request(), x.numpy()

    def call() -> list[np.ndarray]:
        return list(request.infer([array], share_inputs=True).values())

    return call
