"""Running a compiled network; needs nothing but numpy."""

from __future__ import annotations

import ctypes
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VERSION = 1  # of what a library exports; others cannot be read
_FIELDS = 12
_ALIGNMENT = 64


class NativeNetwork:
    """A compiled network as a function from images to maps, on one thread.

    A library is a program: load only one that you, or someone you trust, compiled. One
    object serves one call at a time; make one per thread. Attributes ``input_shape``
    and ``output_shape`` are batch, channels, height and width.

    Args:
        library: File of :func:`mmpose_lite.deploy.compile_network`, or its content.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no compiled network, or one of another version.
        RuntimeError: If it was compiled for another processor.
    """

    def __init__(self, library: str | os.PathLike[str] | bytes) -> None:
        name = 'library'
        if not isinstance(library, bytes):
            name = os.path.abspath(os.fspath(library))
            if not os.path.isfile(name):
                raise FileNotFoundError(f'no compiled network at {name}')
            library = Path(name).read_bytes()
        try:
            # A loader takes a path that it has seen before for the library that it
            # knows, whatever was written there since: this one is new.
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, 'network.so')
                path.write_bytes(library)
                self._library = ctypes.CDLL(str(path))
            contract = (ctypes.c_longlong * _FIELDS).in_dll(
                self._library, 'mmpose_lite_native_contract'
            )
        except (OSError, ValueError) as error:
            raise ValueError(f'{name} must be a compiled network: {error}') from error
        version, _, *sizes, arena, _ = contract
        if version != VERSION:
            raise ValueError(
                f'{name} must be a network of version {VERSION}, got {version}'
            )
        if not self._library.mmpose_lite_native_supported():
            raise RuntimeError(
                f'{name} was compiled for a processor with other instructions than '
                'this one has; compile it here, or for an older one (march)'
            )
        self.input_shape, self.output_shape = tuple(sizes[:4]), tuple(sizes[4:])
        memory = np.zeros(arena + _ALIGNMENT // 4, np.float32)
        skipped = -memory.ctypes.data % _ALIGNMENT // 4
        self._arena = memory[skipped : skipped + arena]
        self._run = self._library.mmpose_lite_native_run
        self._run.argtypes = (ctypes.c_void_p,) * 3
        self._run.restype = None

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's output; ValueError for another shape or type of images."""
        if images.shape != self.input_shape or images.dtype != np.float32:
            raise ValueError(
                f'images must be float32 of shape {self.input_shape}, got '
                f'{images.dtype} of shape {images.shape}'
            )
        images = np.ascontiguousarray(images)
        result = np.empty(self.output_shape, np.float32)
        self._run(*(a.ctypes.data for a in (images, result, self._arena)))
        return result
