"""What plain C++ loops take for a network, and what the machine can do at best."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmpose_lite.analysis import Isolated, Spread, stopwatch

from .contestants import Contestant, build, settle
from .pose_costs import rewritten
from .pose_engines import random_images
from .pose_plan import Setting

SOURCE = Path(__file__).with_name('bound.cpp')
FLAGS = ('-O3', '-march=native')
PRODUCTS = ('mm', 'bmm', 'addmm', 'baddbmm', 'linear', 'dot', 'mv')
# What the file of layers calls it to what tables do.
PARTS = {
    'pointwise': '1x1 convolutions',
    'depthwise': 'depthwise convolutions',
    'dense': 'other convolutions',
    'gate': 'gates',
    'sum': 'sums',
    'all': 'all',
}


@dataclass(frozen=True)
class Layer:
    """A layer as the loops read it.

    Attributes:
        line: Its line in the file of layers.
        kind: A key of ``PARTS``.
        flops: Floating-point operations; a multiply-add is two.
    """

    line: str
    kind: str
    flops: int


def _conv(x: Tensor, weight: Tensor, stride: Any, padding: Any, groups: int) -> Layer:
    """A convolution."""
    (_, channels, height, width), (out, _, *kernel) = x.shape, weight.shape
    own = groups == channels == out and groups > 1
    if groups != 1 and not own:
        raise ValueError(
            f'the loops know convolutions of 1 group or of as many as channels, got '
            f'{groups} groups of {channels} channels'
        )
    plain = kernel == [1, 1] and list(stride) == [1, 1] and not own
    kind = 'pointwise' if plain else 'depthwise' if own else 'dense'
    numbers = (channels, out, *kernel, *stride, *padding, groups, height, width)
    cells = 1
    for size, k, s, p in zip(x.shape[2:], kernel, stride, padding, strict=True):
        cells *= (size + 2 * p - k) // s + 1
    flops = 2 * cells * weight.numel()
    return Layer(' '.join(map(str, ('conv', *numbers))), kind, flops)


class _Collector(TorchDispatchMode):
    """Collects convolutions, each weight once, and element-wise products and sums."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[Layer] = []
        self.seen: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.rstrip('_')
        if name in PRODUCTS:
            raise ValueError(
                f'the loops know convolutions only, the network has {name}'
            )
        if name == 'convolution':
            x, weight, _, stride, padding, dilation, transposed, _, groups = args
            if transposed or set(dilation) != {1}:
                raise ValueError('the loops know no transposed or dilated convolutions')
            if weight.data_ptr() not in self.seen:
                self.layers.append(_conv(x, weight, stride, padding, groups))
            self.seen.add(weight.data_ptr())
        tensors = [a for a in args if isinstance(a, Tensor) and a.dim() == 4]
        if name in ('mul', 'add') and len(tensors) == 2:
            _, channels, height, width = result.shape
            kind = 'gate' if name == 'mul' else 'sum'
            line = f'{kind} {channels} {height} {width}'
            self.layers.append(Layer(line, kind, result.numel()))
        return result


def collect(estimator: nn.Module, image: Tensor) -> list[Layer]:
    """Layers of a network that the loops shall run.

    Args:
        estimator: A pose estimator in eval mode, norms folded.
        image: ``(1, 3, H, W)``.

    Raises:
        ValueError: If it has products or convolutions that the loops do not know.
    """
    with torch.no_grad(), _Collector() as collector:
        estimator(image, None, mode='tensor')
    return collector.layers


def compile_loops(folder: Path) -> Path:
    """The program, compiled for this machine.

    Raises:
        ValueError: If there is no compiler, or it refuses the source.
    """
    compiler = shutil.which('g++') or shutil.which('c++')
    if compiler is None:
        raise ValueError('the bound needs a C++ compiler; install g++')
    program = folder / 'bound'
    done = subprocess.run(
        [compiler, *FLAGS, '-o', str(program), str(SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ValueError(f'{compiler} refuses {SOURCE.name}:\n{done.stderr[-2000:]}')
    return program


def run_loops(
    program: Path, layers: Iterable[Layer], rounds: int
) -> tuple[list[dict[str, float]], float]:
    """Seconds of each kind per round, and the peak rate in GFLOP/s.

    Raises:
        ValueError: If the program refuses a layer.
    """
    path = program.with_name('layers.txt')
    path.write_text(''.join(f'{layer.line}\n' for layer in layers))
    done = subprocess.run(
        [str(program), str(path), str(rounds)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ValueError(f'{program.name} ended with {done.returncode}: {done.stderr}')
    *lines, peak = [line.split() for line in done.stdout.splitlines()]
    times = [
        {kind: float(s) for kind, s in zip(line[::2], line[1::2], strict=True)}
        for line in lines
    ]
    return times, float(peak[1])


class Machine:
    """What is done in a process that may use torch: layers and rates."""

    def __init__(self, threads: int = 1) -> None:
        torch.set_num_threads(threads)

    def layers(self, contestant: Contestant, setting: Setting) -> list[Layer]:
        """Layers of a contestant, norms folded."""
        estimator = settle(build(contestant), setting.image_size)
        return collect(rewritten(estimator, 1), random_images(1, setting.image_size))

    def rates(self) -> dict[str, float]:
        """Matrix products and copies, the best of several."""
        a, b = torch.randn(2, 1024, 1024)
        out = torch.empty(1024, 1024)
        product = _best(partial(torch.mm, a, b, out=out))
        found = {'GEMM 1024 (torch.mm), GFLOP/s': 2 * 1024**3 / product / 1e9}
        for name, size in (('256 MB', 2**26), ('512 KB', 2**17)):
            source, target = torch.ones(2, size)
            seconds = _best(partial(target.copy_, source), 10 if size > 2**20 else 200)
            found[f'copy of {name} (read and written), GB/s'] = 8 * size / seconds / 1e9
        return found


def _best(call: Any, times: int = 10) -> float:
    """Shortest time of a call, seconds."""
    with torch.no_grad():
        return min(stopwatch(call, time.perf_counter) for _ in range(times))


def measure_bound(contestant: Contestant, setting: Setting, rounds: int = 30) -> dict:
    """Run the loops for a contestant, one image, and measure the machine.

    Raises:
        ValueError: As of :func:`compile_loops` and :func:`run_loops`.
        RuntimeError: If the network has what the loops do not know.
    """
    with TemporaryDirectory() as folder:
        program = compile_loops(Path(folder))
        with Isolated(Machine, method='fork') as machine:
            layers = machine.ask('layers', contestant, setting)
            times, peak = run_loops(program, layers, rounds)
            rates = machine.ask('rates')
    parts = {}
    for kind, name in PARTS.items():
        mine = [layer for layer in layers if kind in ('all', layer.kind)]
        if mine:
            spread = Spread.of([1e3 * one[kind] for one in times])
            flops = sum(layer.flops for layer in mine) / 1e9
            parts[name] = dict(count=len(mine), gflops=flops, ms=asdict(spread))
    return dict(
        contestant=contestant.name,
        flags=' '.join(('g++', *FLAGS)),
        parts=parts,
        rates={'multiply-adds in registers, GFLOP/s': peak, **rates},
        rounds=times,
    )
