"""Measuring what the parts of HR-NAS's supernet cost on an engine.

A part is a searching block with one kernel size, or with a transformer alone, at one
width; what it costs is its time less that of the block with nothing left. All else of a
network (stem, shortcuts, sums, up-sampling) is timed as a whole, as the network of dead
blocks. A few random networks then show by which factor parts are cheaper or dearer
inside a network, where the data of others lies in the caches.

Parts of one relative width share a process, and each network has its own: the heap and
the engine's cache of kernels are then like those of a network alone.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from ...analysis import describe_machine
from ...analysis.timing import need
from ...analysis.workers import Bench, Progress, time_benches
from ...checks import ANY, check_fields, each, number, one_of, whole
from ...models.backbones import HRNASNet
from ...models.backbones.hrnas import resolve_arch
from ...models.backbones.hrnas_arch import (
    BlockArch,
    Place,
    SearchSpace,
    dump_arch,
    full_arch,
    places,
    resolve_space,
)
from ...models.layers import SearchingBlock
from ..costs import MacsCost
from .cost import TOKENS, LatencyCost, make_table, place_entry, round_up

ENGINES = {
    'pytorch': ('torch',),
    'onnxruntime': ('onnxruntime', 'onnx'),
    'openvino': ('openvino', 'onnx'),
}
"""Engine to the packages that it needs. PyTorch runs eagerly and keeps batch norms, as
``init_model`` does; export folds them."""
# ONNX Runtime's blocked kernels take widths that are multiples of 4; with others, the
# 7x7 depthwise convolution was seen to take 5 times as long.
MULTIPLES = {'onnxruntime': 4}
DEAD = BlockArch((), ())
# Seeds of the networks that set the factor; those that verify it start from 0.
CALIBRATION = 10_000

Size = tuple[int, int]


@dataclass(frozen=True)
class LatencySettings:
    """What to measure for a latency table, and how.

    Attributes:
        image_sizes: Heights and widths of images; between several one can interpolate.
        widths: Hidden channels and tokens of the parts, relative to the supernet's.
            Kernels are faster at multiples of 8 or 16, which pruning seldom leaves, so
            round fractions would flatter.
        multiple: Hidden widths, and those of the networks, are multiples of this; 0 is
            what suits the engine.
        calibration: Random networks that set the factor; 0 leaves it at 1.

    Raises:
        ValueError: If a number is out of range, or the engine is not installed.
    """

    space: SearchSpace
    image_sizes: tuple[Size, ...]
    engine: str = 'pytorch'
    threads: int = 1
    batch: int = 1
    rounds: int = 30
    widths: tuple[float, ...] = (0.06, 0.15, 0.27, 0.41, 0.56, 0.71, 0.86, 1)
    multiple: int = 0
    calibration: int = 8

    def __post_init__(self) -> None:
        check_fields(
            'latency',
            self,
            space=ANY,
            image_sizes=each(each(whole(1), 2), least=1),
            engine=one_of(*ENGINES),
            widths=each(number(above=0, most=1), least=1),
            multiple=whole(0),
            calibration=whole(0),
        )
        need(self.engine, ENGINES[self.engine])
        if max(self.widths) < 1:
            raise ValueError(f'latency widths must hold 1, got {self.widths}')
        if not self.multiple:
            object.__setattr__(self, 'multiple', MULTIPLES.get(self.engine, 1))

    def header(self, space_name: str) -> dict[str, Any]:
        """Header of the table."""
        names = ('engine', 'threads', 'batch', 'rounds', 'multiple', 'calibration')
        return dict(
            space_name=space_name,
            batch_norms='kept' if self.engine == 'pytorch' else 'folded',
            precision='float32',
            **{name: getattr(self, name) for name in names},
            **describe_machine(('mmpose_lite', 'torch', *ENGINES[self.engine])),
        )


def read_space(name: str, transformer: str | None = None) -> tuple[SearchSpace, Size]:
    """A space and the image size (H, W) that goes with it.

    ``name`` is that of a space, or the path of a config with an HRNASNet and an input
    size; ``transformer`` changes named spaces only.

    Raises:
        ValueError: If there is no such space, or a config has no input size.
    """
    if not name.endswith(('.py', '.json', '.yml', '.yaml')):
        change = dict(transformer=transformer) if transformer else {}
        size = (128, 96) if name == 'mini' else (256, 192)
        return resolve_space(dict(base=name, **change)), size
    if transformer:
        raise ValueError(f'transformer must be left to {name}, got {transformer!r}')
    config = Config.fromfile(name)
    backbone = config.model.backbone
    space, _ = resolve_arch(backbone.get('arch'), backbone.get('space'))
    size = (config.model.get('resource') or config.get('codec') or {}).get('input_size')
    if size is None:
        raise ValueError(f'{name} has no input size, neither in resource nor in codec')
    return space, (size[1], size[0])


class Part(NamedTuple):
    """A block with a kernel size, a transformer or nothing, by itself."""

    place: Place
    block: BlockArch


class Network(NamedTuple):
    """A whole backbone."""

    arch: tuple[BlockArch, ...]


Subject = Part | Network


def build(subject: Subject, space: SearchSpace, size: Size) -> tuple[nn.Module, tuple]:
    """What is timed, and the shape of one input."""
    if isinstance(subject, Network):
        return HRNASNet(arch=dump_arch(space, subject.arch, None)), (3, *size)
    place, block = subject
    module = SearchingBlock(
        place.in_channels,
        place.out_channels,
        place.stride,
        **vars(block),
        norm_cfg=dict(type='BN'),
    )
    return module, (place.in_channels, *place.sizes(size)[0])


def part_groups(settings: LatencySettings) -> list[list[Part]]:
    """All parts: first blocks with nothing left, then a group per relative width."""
    full = dict(zip(places(settings.space), full_arch(settings.space), strict=True))
    groups = [[Part(place, DEAD) for place in full]]
    # Narrow blocks round several widths to the same count; each is timed once.
    seen: set[Part] = set()
    for width in sorted(settings.widths):
        parts = []
        for place, block in full.items():
            for kernel, channels in zip(block.kernels, block.channels, strict=True):
                count = max(1, round(width * channels))
                count = round_up(count, settings.multiple, channels)
                parts.append(Part(place, BlockArch((kernel,), (count,))))
            if block.tokens:
                count = max(1, round(width * block.tokens))
                parts.append(Part(place, BlockArch((), (), count)))
        groups.append([part for part in parts if part not in seen])
        seen.update(parts)
    return groups


def random_networks(
    settings: LatencySettings,
    size: Size,
    count: int,
    first_seed: int = 0,
    high: float = 1.0,
) -> list[Network]:
    """Thinned supernets, spread evenly over 20 to 100 % of its MACs (to ``high``)."""
    space, multiple = settings.space, settings.multiple
    return [
        Network(thin(space, fraction, first_seed + n, size, multiple))
        for n, fraction in enumerate(np.linspace(0.2, high, count))
    ]


def thin(
    space: SearchSpace, fraction: float, seed: int, size: Size, multiple: int = 1
) -> tuple[BlockArch, ...]:
    """The supernet without random channels, kernel sizes and tokens.

    Every group of channels or tokens draws what share of it is left, alike within a
    block more often than not; all shares are moved up or down together until
    ``fraction`` of the supernet's MACs is left, and those that reach nothing are gone.
    Hidden widths are multiples of ``multiple``, where that is not too wide.
    """
    draw, full, cost = random.Random(seed), full_arch(space), MacsCost(size)
    shares = []
    for block in full:
        common = draw.random()
        count = len(block.channels) + 1
        shares.append([0.4 * common + 0.6 * draw.random() for _ in range(count)])

    def moved(shift: float) -> tuple[BlockArch, ...]:
        archs = []
        for block, drawn in zip(full, shares, strict=True):
            kept = [min(max(share + shift, 0.0), 1.0) for share in drawn]
            rows = zip(block.kernels, block.channels, kept[:-1], strict=True)
            ops = [(k, round_up(round(n * s), multiple, n)) for k, n, s in rows]
            kernels = tuple(kernel for kernel, count in ops if count)
            channels = tuple(count for _, count in ops if count)
            archs.append(BlockArch(kernels, channels, round(block.tokens * kept[-1])))
        return tuple(archs)

    low, high = -1.0, 1.0
    target = fraction * cost.network(space, full)
    for _ in range(30):
        middle = (low + high) / 2
        if cost.network(space, moved(middle)) < target:
            low = middle
        else:
            high = middle
    return moved(high)


def make_bench(
    settings: LatencySettings, size: Size, subjects: Sequence[Subject]
) -> Bench:
    """Subjects that one process times, each with its input on the engine."""
    torch.set_num_threads(settings.threads)
    torch.manual_seed(0)
    calls: list[Callable[[], object]] = []
    for subject in subjects:
        module, shape = build(subject, settings.space, size)
        x = torch.rand(settings.batch, *shape)
        if settings.engine == 'pytorch':
            calls.append(torch.inference_mode()(partial(module.eval(), x)))
            continue
        # Only here: a search that reads a table needs no export.
        from ...deploy import open_engine, to_onnx

        contents = {'.onnx': to_onnx(module.eval(), x, batch=len(x))}
        session = open_engine(contents, settings.engine, settings.threads)
        calls.append(partial(session.run, x.numpy()))
    return Bench(calls)


def time_subjects(
    settings: LatencySettings,
    size: Size,
    groups: Sequence[Sequence[Subject]],
    progress: Progress,
    title: str,
) -> dict[Subject, float]:
    """Median milliseconds of every subject; groups, each a process, take turns.

    Raises:
        RuntimeError: If a subject cannot be built, exported or run.
    """
    benches = [partial(make_bench, settings, size, group) for group in groups]
    outcomes = time_benches(benches, settings.rounds, progress, title)
    if failed := [outcome.error for outcome in outcomes if outcome.error]:
        raise RuntimeError(f'not measured: {failed[0]}')
    return {
        subject: 1e3 * timing.spread.median
        for group, outcome in zip(groups, outcomes, strict=True)
        for subject, timing in zip(group, outcome.timings, strict=True)
    }


def measure_latency(
    settings: LatencySettings,
    space_name: str = 'space',
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Latency table of a space, ready for JSON and for :class:`LatencyCost`.

    Measure on a quiet machine, on the engine and with as many threads as will run the
    searched network. Subjects run in forked processes, so no other thread may run here.
    ``space_name`` is what the table calls the space; ``progress`` is called after every
    step.
    """
    header = settings.header(space_name)
    sizes = [_measure_size(settings, s, header, progress) for s in settings.image_sizes]
    return make_table(header, settings.space, sizes)


def _measure_size(
    settings: LatencySettings, size: Size, header: dict, progress: Progress
) -> dict[str, Any]:
    space = settings.space
    skeleton = Network((DEAD,) * len(full_arch(space)))
    # Not the whole supernet, which verification measures too.
    networks = random_networks(settings, size, settings.calibration, CALIBRATION, 0.95)
    groups: list[list[Subject]] = [*part_groups(settings), [skeleton]]
    groups += [[network] for network in networks]
    medians = time_subjects(settings, size, groups, progress, f'{size[0]}x{size[1]}')
    row = dict(image_size=size, scale=1.0, **_row(space, medians, medians[skeleton]))
    # What blocks cost in networks over what they cost alone.
    cost = LatencyCost(make_table(header, space, [row]), size)
    bare = cost.network(space, skeleton.arch)
    inside = {n: cost.network(space, n.arch) - bare for n in networks}
    ratios = [(medians[n] - bare) / alone for n, alone in inside.items() if alone > 0]
    if ratios:
        row['scale'] = max(statistics.median(ratios), 0.0)
    return row


def _row(
    space: SearchSpace, medians: dict[Subject, float], skeleton: float
) -> dict[str, Any]:
    """Entry of one image size, but for the factor."""
    dead = {place: medians[Part(place, DEAD)] for place in places(space)}
    # Calling an engine takes a while whatever it computes, and that once a network.
    call = min(dead.values())
    total = sum(dead[place] - call for place in places(space))
    share = min(1.0, skeleton / total) if total else 1.0
    parts: dict[Place, dict[int, dict[int, float]]] = {place: {} for place in dead}
    for subject, ms in medians.items():
        if isinstance(subject, Part) and subject.block != DEAD:
            place, block = subject
            (kernel,) = block.kernels or (TOKENS,)
            (count,) = block.channels or (block.tokens,)
            parts[place].setdefault(kernel, {})[count] = ms - dead[place]
    entries = [
        place_entry(place, share * (ms - call), parts[place])
        for place, ms in dead.items()
    ]
    return dict(stem=max(0.0, skeleton - share * total), places=entries)
