"""Compiling a network, from its module to a library."""

from __future__ import annotations

import os
from pathlib import Path

from torch import nn

from ..passes import optimize
from .building import build, lanes_of
from .emit import emit
from .fusing import fuse
from .lowering import lower
from .planning import Planner


def compile_network(
    network: nn.Module,
    image_size: tuple[int, int],
    out: str | os.PathLike[str],
    batch: int = 1,
    march: str = 'native',
    profile: bool = False,
) -> None:
    """Write a network as a library that needs no engine.

    Args:
        network: A convolutional network from ``(B, 3, H, W)`` to one map, alone or in a
            tuple; left as it is. It is rewritten by
            :func:`mmpose_lite.deploy.optimize` first.
        image_size: Height and width of the images.
        out: Library to write, replaced if it exists.
        batch: Number of images of a call.
        march: Architecture to compile for, as the compiler names it.
        profile: Whether it shall time its operations, see
            :meth:`mmpose_lite.deploy.native.NativeNetwork.times`.

    Raises:
        ValueError: If the network does what cannot be compiled.
        RuntimeError: If there is no C++ compiler, or it fails.
    """
    lanes = lanes_of(march)
    rewritten = optimize(network, image_size=image_size)
    graph = fuse(lower(rewritten, image_size, batch))
    program = emit(graph, Planner(graph).plan(), lanes)
    build(program, Path(out), march, profile)
