"""The same module on PyTorch, ONNX Runtime or OpenVINO, ready to be timed."""

from __future__ import annotations

import io
import platform
import warnings
from collections.abc import Callable
from importlib import import_module, util
from pathlib import Path

import torch
from torch import Tensor, nn

# Engine to the packages it needs, the first being the engine itself.
ENGINES = {
    'pytorch': ('torch',),
    'onnxruntime': ('onnxruntime', 'onnx'),
    'openvino': ('openvino', 'onnx'),
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
    engine: str, module: nn.Module, x: Tensor, threads: int
) -> Callable[[], object]:
    """A call of ``module`` with ``x``.

    PyTorch runs the module as it is, eagerly and with its batch norms: so runs what
    ``init_model`` returns. The others fold batch norms, and compute in float32.

    Args:
        engine: A key of ``ENGINES``.
        module: What to call; it is put into eval mode.
        x: Its only argument.
        threads: Threads for one call.
    """
    module = module.eval()
    if engine == 'pytorch':
        torch.set_num_threads(threads)
        return lambda: module(x)
    model = _onnx(module, x)
    if engine == 'onnxruntime':
        return _onnxruntime(model, x, threads)
    return _openvino(model, x, threads)


def _onnx(module: nn.Module, x: Tensor) -> bytes:
    """The module as ONNX."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that replaces it takes ten times as long, and there are hundreds.
        warnings.filterwarnings('ignore', category=DeprecationWarning)
        warnings.filterwarnings('ignore', category=torch.jit.TracerWarning)
        torch.onnx.export(
            module, (x,), file, input_names=['x'], opset_version=17, dynamo=False
        )
    return file.getvalue()


def _onnxruntime(model: bytes, x: Tensor, threads: int) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model, options, providers=['CPUExecutionProvider']
    )
    feed = dict(x=x.numpy())
    return lambda: session.run(None, feed)


def _openvino(model: bytes, x: Tensor, threads: int) -> Callable[[], object]:
    import openvino

    core = openvino.Core()
    options = dict(
        INFERENCE_NUM_THREADS=threads,
        PERFORMANCE_HINT='LATENCY',
        INFERENCE_PRECISION_HINT='f32',
    )
    compiled = core.compile_model(core.read_model(io.BytesIO(model)), 'CPU', options)
    request, array = compiled.create_infer_request(), x.numpy()
    return lambda: request.infer([array], share_inputs=True)
