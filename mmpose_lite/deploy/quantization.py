"""Graphs in int8, calibrated on real crops."""

from __future__ import annotations

import fnmatch
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .images import Scenes
from .int8_float import FLOAT_NODES
from .onnx_export import INPUT
from .runtime import Contract, extra
from .runtime.crops import centers_and_scales, check_boxes, cut

Progress = Callable[[int, int], None]

QUANTIZED = ('Conv', 'MatMul', 'Gemm', 'ConvTranspose')
"""Operators whose products are computed in int8."""


def crops_of(
    scenes: Scenes, contract: Contract, progress: Progress | None = None
) -> Iterator[np.ndarray]:
    """Crops of all people, ``(1, 3, H, W)`` each."""
    done = 0
    for scene in scenes.scenes:
        image = scene.image()
        regions = centers_and_scales(check_boxes(scene.boxes, image), contract)
        for crop in cut(image, *regions, contract):
            done += 1
            if progress is not None:
                progress(done, scenes.people)
            yield crop[None]


def float_nodes(names: list[str], patterns: tuple[str, ...]) -> list[str]:
    """Names of nodes that a pattern of the shell's kind matches."""
    return [n for n in names if any(fnmatch.fnmatchcase(n, p) for p in patterns)]


def quantizer(
    contract: Contract,
    scenes: Scenes,
    progress: Progress | None = None,
    patterns: tuple[str, ...] = FLOAT_NODES,
) -> Callable[[bytes], bytes]:
    """A function from a graph to one whose convolutions and products are in int8.

    Args:
        contract: Of the network.
        scenes: People to calibrate on; their range of values is what int8 can hold.
        progress: Told after each person.
        patterns: Of names of nodes that stay in float32.
    """

    def quantize(data: bytes) -> bytes:
        onnx, tools = extra('onnx'), extra('onnxruntime.quantization')

        class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
            """Hands out crops one by one."""

            def __init__(self) -> None:
                self.crops = crops_of(scenes, contract, progress)

            def get_next(self) -> dict[str, Any] | None:
                """The next crop, or nothing."""
                crop = next(self.crops, None)
                if crop is None:
                    return None
                count = contract.batch or 1
                return {INPUT: np.repeat(crop, count, 0)}

        with tempfile.TemporaryDirectory() as folder:
            source, target = (str(Path(folder, name)) for name in ('a.onnx', 'b.onnx'))
            prepare = extra('onnxruntime.quantization.shape_inference')
            plain = str(Path(folder, 'plain.onnx'))
            Path(plain).write_bytes(data)
            prepare.quant_pre_process(plain, source, skip_symbolic_shape=True)
            names = [node.name for node in onnx.load(source).graph.node]
            logging.getLogger('root').addFilter(_quiet)
            try:
                tools.quantize_static(
                    source,
                    target,
                    Reader(),
                    quant_format=tools.QuantFormat.QDQ,
                    op_types_to_quantize=list(QUANTIZED),
                    nodes_to_exclude=float_nodes(names, patterns),
                    per_channel=True,
                    activation_type=tools.QuantType.QUInt8,
                    weight_type=tools.QuantType.QInt8,
                )
            finally:
                logging.getLogger('root').removeFilter(_quiet)
            return Path(target).read_bytes()

    return quantize


def _quiet(record: logging.LogRecord) -> bool:
    """Whether a record of the library says something new."""
    return record.levelno > logging.WARNING
