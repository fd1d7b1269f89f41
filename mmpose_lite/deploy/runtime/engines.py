"""Model files as functions from arrays to arrays, one per engine."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..native.running import NativeNetwork
from .contract import METADATA_KEY, Contract
from .extras import extra

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]

PRECISION_HINTS = ('f32', 'bf16')
"""Number formats to compute in; only OpenVINO has another than the first."""


class Opened(NamedTuple):
    """A model that is ready to run.

    Attributes:
        run: From ``(N, 3, H, W)`` to ``(N, K, h, w)``, or, of a network with two
            outputs, to both, one after the other along the last axis.
        contract: The contract within the model, as text; empty if it has none.
    """

    run: Run
    contract: str


def _joined(outputs: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Outputs as one array that nobody else writes to."""
    return np.concatenate([np.asarray(one) for one in outputs], axis=-1)


def _onnxruntime(contents: Mapping[str, bytes], threads: int, hint: str) -> Opened:
    if hint != 'f32':
        raise ValueError(f"hint must be 'f32' for onnxruntime, got {hint!r}")
    engine = extra('onnxruntime')
    options = engine.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads of several sessions would take each other's cores.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    session = engine.InferenceSession(
        contents['.onnx'], options, providers=['CPUExecutionProvider']
    )
    name = session.get_inputs()[0].name
    metadata = session.get_modelmeta().custom_metadata_map
    return Opened(
        lambda images: _joined(session.run(None, {name: images})),
        metadata.get(METADATA_KEY, ''),
    )


def _openvino(contents: Mapping[str, bytes], threads: int, hint: str) -> Opened:
    engine = extra('openvino')
    core = engine.Core()
    if '.onnx' in contents:
        model = core.read_model(io.BytesIO(contents['.onnx']))
    else:
        model = core.read_model(contents['.xml'], contents['.bin'])
    options: dict[str, Any] = dict(
        INFERENCE_NUM_THREADS=threads,
        PERFORMANCE_HINT='LATENCY',
        INFERENCE_PRECISION_HINT=hint,
    )
    request = core.compile_model(model, 'CPU', options).create_infer_request()

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return _joined(request.infer([images], share_inputs=True).values())

    keys = [METADATA_KEY] if '.xml' in contents else ['framework', METADATA_KEY]
    text = str(model.get_rt_info(keys).value) if model.has_rt_info(keys) else ''
    return Opened(run, text)


def _native(contents: Mapping[str, bytes], threads: int, hint: str) -> Opened:
    if threads != 1 or hint != 'f32':
        raise ValueError(
            'a compiled network computes on 1 thread in f32, got '
            f'threads={threads}, hint={hint!r}'
        )
    # What was compared with its digest is what is loaded, whatever the file is by now;
    # a loaded library stays when its file is gone.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'network.so')
        path.write_bytes(contents['.so'])
        return Opened(NativeNetwork(path), '')


ENGINES: dict[str, Callable[[Mapping[str, bytes], int, str], Opened]] = {
    'onnxruntime': _onnxruntime,
    'openvino': _openvino,
    'native': _native,
}
FORMAT_ENGINES = {
    'onnx': ('onnxruntime', 'openvino'),
    'openvino': ('openvino',),
    'native': ('native',),
}
"""Format to the engines that read it, the usual one first."""


def open_model(
    contents: Mapping[str, bytes],
    contract: Contract,
    engine: str | None,
    threads: int,
    hint: str,
) -> Opened:
    """Hand a model to an engine.

    Raises:
        ValueError: If the engine cannot read the format, or a number is out of range.
        ImportError: If the engine is not installed.
    """
    readers = FORMAT_ENGINES[contract.format]
    if engine is None:
        engine = readers[0]
    if engine not in readers:
        raise ValueError(
            f'engine must be one of {readers} for {contract.format}, got {engine!r}'
        )
    if threads < 1:
        raise ValueError(f'threads must be at least 1, got {threads}')
    if hint not in PRECISION_HINTS:
        raise ValueError(f'hint must be one of {PRECISION_HINTS}, got {hint!r}')
    return ENGINES[engine](contents, threads, hint)
