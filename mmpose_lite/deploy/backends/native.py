"""Networks compiled to a library, see :mod:`mmpose_lite.deploy.native`."""

from __future__ import annotations

from torch import nn

from ..native.compiler import compiled
from ..runtime import Contract
from .base import Backend, Files


def write(network: nn.Module, contract: Contract) -> Files:
    """Files of a network, as of :attr:`Backend.write`."""
    width, height = contract.input_size
    assert contract.batch is not None
    return {'.so': compiled(network, (height, width), contract.batch)}


NATIVE = Backend(
    'native',
    (),
    'graph',
    write,
    precisions=('fp32',),
    any_batch=False,
    as_trained=False,
)
