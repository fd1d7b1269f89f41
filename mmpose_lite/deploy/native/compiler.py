"""Networks compiled, from their module to a library, by the system's C++ compiler."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from torch import nn

from ...io.files import write_atomically
from ..passes import optimize
from .emit import emit
from .graph import fuse
from .lowering import lower
from .memory import MemoryPlan

COMPILERS = ('c++', 'g++', 'clang++')
FLAGS = (
    *('-std=c++17', '-O3', '-shared', '-fPIC', '-fvisibility=hidden'),
    # Sums may be contracted to fused multiply-adds, but not reordered.
    *('-ffp-contract=fast', '-fno-math-errno', '-fno-trapping-math'),
)
LANES = {'__AVX512F__': 16, '__AVX__': 8}  # macro to floats of a vector, widest first


def compiler() -> list[str]:
    """Command of the C++ compiler, of ``CXX`` or a usual name; RuntimeError if none."""
    chosen = os.environ.get('CXX')
    names = [shlex.split(chosen)] if chosen else [[name] for name in COMPILERS]
    for command in names:
        if command and shutil.which(command[0]):
            return command
    tried = ' '.join(' '.join(name) for name in names)
    raise RuntimeError(
        f'no C++ compiler found (tried: {tried}); install g++ 12 or clang++, or name '
        'one in the environment variable CXX'
    )


def _run(command: list[str], folder: str | None = None) -> str:
    """What a compiler prints."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f'{shlex.join(command)} failed with exit status {done.returncode}:\n'
            f'{done.stderr[-4000:]}'
        )
    return done.stdout


def lanes_of(march: str) -> int:
    """Floats of an architecture's vector; RuntimeError if the compiler knows none."""
    command = [*compiler(), f'-march={march}', '-dM', '-E', '-x', 'c++', os.devnull]
    macros = _run(command)
    return next((n for macro, n in LANES.items() if f'{macro} 1' in macros), 4)


def compiled(
    network: nn.Module,
    image_size: tuple[int, int],
    batch: int = 1,
    march: str = 'native',
) -> bytes:
    """Library of a network that was optimized; see :func:`compile_network`."""
    lanes = lanes_of(march)
    graph = fuse(lower(network, image_size, batch))
    text, weights = emit(graph, MemoryPlan(graph), lanes)
    command = [*compiler(), *FLAGS, f'-march={march}', f'-I{Path(__file__).parent}']
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, 'network.cpp').write_text(text, encoding='utf-8')
        Path(folder, 'weights.bin').write_bytes(weights)
        _run([*command, 'network.cpp', '-o', 'network.so'], folder)
        return Path(folder, 'network.so').read_bytes()


def compile_network(
    network: nn.Module,
    image_size: tuple[int, int],
    out: str | os.PathLike[str],
    batch: int = 1,
    march: str = 'native',
) -> None:
    """Write a network as a library that needs no engine.

    Args:
        network: A convolutional network from ``(B, 3, H, W)`` to one map, alone or in a
            tuple; left as it is, a copy is optimized first.
        image_size: Height and width.
        batch: Images of a call.
        march: Architecture to compile for, as the compiler names it.

    Raises:
        ValueError: If the network does what cannot be compiled.
        RuntimeError: If there is no C++ compiler, or it fails.
    """
    optimized = optimize(network, image_size=image_size)
    write_atomically(out, compiled(optimized, image_size, batch, march))
