"""LiteRT: networks are converted by another Python and run in this one.

The converter, litert-torch, wants a numpy that MMPose does not. So it lives in an
environment of its own, with the same torch as here, whose interpreter ``CONVERTER``
names; what goes there is an exported program, which needs none of the network's code.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from importlib import util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

CONVERTER = 'MMPOSE_LITE_LITERT_PYTHON'
"""Environment variable with the path of the other interpreter."""
# Run there: programs in, flat buffers out.
SCRIPT = """
import sys
import litert_torch
import torch
program = torch.export.load(sys.argv[1])
model = litert_torch.convert(program.module(), program.example_inputs[0])
model.export(sys.argv[2])
"""


def check() -> None:
    """Make sure that LiteRT can be used.

    Raises:
        ValueError: If the runtime or the converter is missing.
    """
    if util.find_spec('ai_edge_litert') is None:
        raise ValueError(
            'engine litert needs a package that is not installed; '
            'run: pip install ai-edge-litert'
        )
    if not Path(os.environ.get(CONVERTER, '')).is_file():
        raise ValueError(
            f'engine litert needs {CONVERTER}, the python of an environment '
            f'with litert-torch and torch {torch.__version__.partition("+")[0]}'
        )


def convert(network: nn.Module, images: Tensor) -> bytes:
    """A network as a file of LiteRT.

    Args:
        network: In eval mode.
        images: Its only input, of the size that it shall always have.

    Raises:
        RuntimeError: If the converter fails, with the end of what it said.
    """
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        program, path = (Path(folder) / name for name in ('net.pt2', 'net.tflite'))
        torch.export.save(torch.export.export(network, (images,)), program)
        done = subprocess.run(
            [os.environ[CONVERTER], '-c', SCRIPT, str(program), str(path)],
            # Nothing of this environment; no compiler in the background either.
            env={**os.environ, 'PYTHONPATH': '', 'CUDA_VISIBLE_DEVICES': ''},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:]
            raise RuntimeError(f'litert-torch: {"".join(last) or done.returncode}')
        return path.read_bytes()


def load(model: bytes, x: Tensor, threads: int) -> Callable[[], list[np.ndarray]]:
    """A call of a converted network with ``x``; it returns all outputs.

    Args:
        model: The file's content.
        x: The input.
        threads: Threads for one call.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    (source,) = (one['index'] for one in interpreter.get_input_details())
    targets = [one['index'] for one in interpreter.get_output_details()]
    array = x.numpy()

    def call() -> list[np.ndarray]:
        interpreter.set_tensor(source, array)
        interpreter.invoke()
        return [interpreter.get_tensor(target) for target in targets]

    return call
