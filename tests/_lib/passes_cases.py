"""What the tests of passes share."""

import copy

import torch
from parity import fill_from, own_fill
from rows import TINY_ROWS
from torch.utils._python_dispatch import TorchDispatchMode

from mmpose_lite.deploy import list_passes, relative_difference

TOLERANCE = 1e-10
"""Largest relative difference in double precision."""
TOLERANCE_F32 = 2e-5
"""The same in single precision."""


def build(cls, arch, **options):
    """Network with random, well-conditioned weights and statistics, in eval mode."""
    net = cls(arch, **options)
    fill_from(net, own_fill)
    return net.eval()


def image(size=(64, 96), batch=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, *size, generator=generator, dtype=dtype)


def before_and_after(net, name, **options):
    """Copies of ``net`` as a pass finds and leaves it."""
    model = copy.deepcopy(net).eval().requires_grad_(False)
    for step, rewrite in list_passes(**options).items():
        if step == name:
            return model, rewrite(copy.deepcopy(model))
        model = rewrite(model)
    raise AssertionError(f'{name} is none of the passes')


def outputs(net, x):
    """All outputs of a network, without gradients."""
    with torch.no_grad():
        found = net(x)
    return [found] if isinstance(found, torch.Tensor) else list(found)


def difference(net, other, x):
    """Relative difference of two networks' outputs."""
    return relative_difference(outputs(net, x), outputs(other, x))


def count(model, *types):
    return sum(isinstance(module, types) for module in model.modules())


class _Names(TorchDispatchMode):
    """Collects what runs inside it."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def calls(model, *args):
    """Names of the ATen operators that a call runs, with repetition."""
    with torch.no_grad(), _Names() as mode:
        model(*args)
    return mode.names


def tiny(cls, unit, **arch):
    """The tiny row of a family with that unit, some of it changed."""
    row = next(a for c, a in TINY_ROWS if c is cls and a['unit'] == unit)
    return build(cls, dict(row, **arch)).double()
