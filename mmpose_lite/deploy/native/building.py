"""From C++ text to a shared library, by the system's compiler."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from ...io.files import atomic_file
from .emit import Program

COMPILERS = ('c++', 'g++', 'clang++')
FLAGS = (
    *('-std=c++17', '-O3', '-shared', '-fPIC', '-fvisibility=hidden'),
    # Sums may be contracted to fused multiply-adds, but not reordered.
    *('-ffp-contract=fast', '-fno-math-errno', '-fno-trapping-math'),
)
LANES = {'__AVX512F__': 16, '__AVX__': 8}
"""Macro of the compiler to the floats of a vector, widest first."""


def compiler() -> list[str]:
    """Command of the C++ compiler: that of the variable ``CXX``, or the usual names.

    Raises:
        RuntimeError: If there is none.
    """
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
    """Run a compiler; returns what it prints."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f'{shlex.join(command)} failed with exit status {done.returncode}:\n'
            f'{done.stderr[-4000:]}'
        )
    return done.stdout


def lanes_of(march: str) -> int:
    """Floats of a vector of an architecture, as the compiler names it.

    Raises:
        RuntimeError: If there is no compiler, or it does not know ``march``.
    """
    command = [*compiler(), f'-march={march}', '-dM', '-E', '-x', 'c++', os.devnull]
    macros = _run(command)
    return next((n for macro, n in LANES.items() if f'{macro} 1' in macros), 4)


def build(program: Program, out: Path, march: str, profile: bool = False) -> None:
    """Compile a network.

    Args:
        program: The network.
        out: Library to write; it takes this name only when it is complete.
        march: Architecture, as the compiler names it.
        profile: Whether the library shall time its operations.

    Raises:
        RuntimeError: If there is no compiler, or it fails.
    """
    here = Path(__file__).parent
    command = [*compiler(), *FLAGS, f'-march={march}', f'-I{here}']
    command += ['-DPROFILE'] if profile else []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, 'network.cpp').write_text(program.text, encoding='utf-8')
        Path(folder, 'weights.bin').write_bytes(program.weights)
        _run([*command, 'network.cpp', '-o', 'network.so'], folder)
        contents = Path(folder, 'network.so').read_bytes()
    with atomic_file(out) as file:
        file.write(contents)
