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
from .onnx_export import INPUT
from .runtime import Contract, extra
from .runtime.crops import centers_and_scales, check_boxes, cut

Progress = Callable[[int, int], None]

QUANTIZED = ('Conv', 'Relu', 'MatMul', 'Gemm', 'ConvTranspose')
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


def matching(names: list[str], patterns: tuple[str, ...]) -> list[str]:
    """Names that a pattern of the shell's kind matches.

    Raises:
        ValueError: If there are none.
    """
    found = [n for n in names if any(fnmatch.fnmatchcase(n, p) for p in patterns)]
    if not found:
        raise ValueError(f'no node of the network is named like {", ".join(patterns)}')
    return found


def quantizer(
    contract: Contract,
    scenes: Scenes,
    patterns: tuple[str, ...],
    progress: Progress | None = None,
) -> Callable[[bytes], bytes]:
    """A function from a graph to one with some products in int8.

    Args:
        contract: Of the network.
        scenes: People to calibrate on; their range of values is what int8 can hold.
        patterns: Of names of nodes that become int8.
        progress: Told after each person.
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
            graph = onnx.load(source).graph
            names = [n.name for n in graph.node if n.op_type in QUANTIZED]
            logging.getLogger('root').addFilter(_quiet)
            try:
                tools.quantize_static(
                    source,
                    target,
                    Reader(),
                    quant_format=tools.QuantFormat.QDQ,
                    op_types_to_quantize=list(QUANTIZED),
                    nodes_to_quantize=matching(names, patterns),
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
