"""Model files as functions from arrays to arrays: the one way to open an engine.

:class:`PoseRuntime` runs what is opened here, and benchmarks time the same.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..native.running import NativeNetwork
from .contract import FORMATS, METADATA_KEY
from .extras import extra

Floats = NDArray[np.float32]


class Session(NamedTuple):
    """A model that is ready to run, by one thread at a time.

    ``contract`` is the text that the model holds, or empty.
    """

    run: Callable[[Floats], list[Floats]]
    contract: str = ''

    def __call__(self, images: Floats) -> Floats:
        """All outputs joined along the last axis, in an array that is the caller's."""
        return np.concatenate([np.asarray(one) for one in self.run(images)], axis=-1)


def _onnxruntime(contents: Mapping[str, bytes], threads: int, hint: str) -> Session:
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
    return Session(
        lambda images: session.run(None, {name: images}), metadata.get(METADATA_KEY, '')
    )


def _openvino(contents: Mapping[str, bytes], threads: int, hint: str) -> Session:
    core = extra('openvino').Core()
    if '.onnx' in contents:
        model = core.read_model(io.BytesIO(contents['.onnx']))
    else:
        model = core.read_model(contents['.xml'], contents['.bin'])
    options: dict[str, Any] = dict(
        INFERENCE_NUM_THREADS=threads,
        PERFORMANCE_HINT='LATENCY',
        INFERENCE_PRECISION_HINT=hint,
    )
    compiled = core.compile_model(model, 'CPU', options)
    actual = compiled.get_property('INFERENCE_PRECISION_HINT').to_string()
    if actual != hint:
        raise ValueError(
            f'hint must be what this processor computes in, {actual!r}, got {hint!r}'
        )
    request = compiled.create_infer_request()
    keys = [METADATA_KEY] if '.xml' in contents else ['framework', METADATA_KEY]
    return Session(
        lambda images: list(request.infer([images], share_inputs=True).values()),
        str(model.get_rt_info(keys).value) if model.has_rt_info(keys) else '',
    )


def _native(contents: Mapping[str, bytes], threads: int, hint: str) -> Session:
    network = NativeNetwork(contents['.so'])
    return Session(lambda images: [network(images)])


@dataclass(frozen=True)
class Engine:
    """A program that runs models.

    Attributes:
        open: From suffixes and contents of a model's files, threads and hint.
        hints: Number formats that it can be asked to compute in.
        threads: Most that it can use; None is any number.
    """

    open: Callable[[Mapping[str, bytes], int, str], Session]
    formats: tuple[str, ...]
    hints: tuple[str, ...] = ('f32',)
    threads: int | None = None


ENGINES = {
    'onnxruntime': Engine(_onnxruntime, ('onnx',)),
    'openvino': Engine(_openvino, ('openvino', 'onnx'), hints=('f32', 'bf16')),
    'native': Engine(_native, ('native',), threads=1),
}
"""Name to engine; of those that read a format, the first is its own."""


def open_engine(
    contents: Mapping[str, bytes],
    engine: str | None = None,
    threads: int = 1,
    hint: str = 'f32',
) -> Session:
    """Session of a model.

    Args:
        contents: Suffix to content of each file, such as ``{'.onnx': data}``.
        engine: A key of ``ENGINES``; None is the format's own.
        hint: Number format to compute in.

    Raises:
        ValueError: If the engine does not read the format or does not take an argument;
            the message says what it takes.
        ImportError: If the engine is not installed.
    """
    form = next(
        (f for f, suffixes in FORMATS.items() if {*suffixes} == {*contents}), ''
    )
    readers = [name for name, row in ENGINES.items() if form in row.formats]
    if not readers:
        raise ValueError(f'contents must be of {FORMATS}, got {tuple(contents)}')
    name = readers[0] if engine is None else engine
    if name not in readers:
        raise ValueError(f'engine must be one of {readers} for {form}, got {engine!r}')
    row = ENGINES[name]
    if not 1 <= threads <= (row.threads or threads):
        most = f'1 for {name}' if row.threads else 'at least 1'
        raise ValueError(f'threads must be {most}, got {threads}')
    if hint not in row.hints:
        raise ValueError(f'hint must be one of {row.hints} for {name}, got {hint!r}')
    return row.open(contents, threads, hint)
