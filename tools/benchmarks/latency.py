"""What the parts of HR-NAS's supernet cost on an engine, and how well they add up.

A part is a searching block with one kernel size, or with a transformer alone, at one
width; what it costs is its time less that of the block with nothing left. All else of a
network (stem, shortcuts, sums, up-sampling) is timed as a whole, as the network of dead
blocks. A few random networks then tell by which factor parts are cheaper or dearer
inside a network, where others' data lies in the caches.

Parts of one relative width share a process, and each network has its own: the heap and
the engine's cache of kernels are then like those of a network alone.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from mmpose_lite.analysis import Isolated, interleave
from mmpose_lite.models.backbones import HRNASNet
from mmpose_lite.models.backbones.hrnas_arch import (
    BlockArch,
    Place,
    SearchSpace,
    dump_arch,
    full_arch,
    places,
)
from mmpose_lite.models.layers import SearchingBlock
from mmpose_lite.search import LatencyCost
from mmpose_lite.search.latency_table import make_table, place_entry, round_up

from .engines import prepare
from .latency_plan import Plan
from .thinning import spread, thin

DEAD = BlockArch((), ())
# Seeds of the networks that set the factor; those that verify it start from 0.
CALIBRATION = 10_000
# Seconds; of longer calls, caches that others have filled are no part worth mentioning.
SHORT = 0.03
# What is being done, calls done, calls in all, seconds left.
Report = Callable[[str, int, int, float], None]


@dataclass(frozen=True)
class Part:
    """A block with a kernel size, a transformer or nothing, by itself."""

    place: Place
    block: BlockArch

    def module(self, plan: Plan, size: tuple[int, int]) -> tuple[nn.Module, list[int]]:
        """The block, and the shape of its input."""
        place, block = self.place, self.block
        module = SearchingBlock(
            place.in_channels,
            place.out_channels,
            place.stride,
            kernels=block.kernels,
            channels=block.channels,
            tokens=block.tokens,
            norm_cfg=dict(type='BN'),
        )
        return module, [place.in_channels, *place.sizes(size)[0]]


@dataclass(frozen=True)
class Network:
    """A whole backbone."""

    arch: tuple[BlockArch, ...]

    def module(self, plan: Plan, size: tuple[int, int]) -> tuple[nn.Module, list[int]]:
        """The backbone, and the shape of its input."""
        return HRNASNet(arch=dump_arch(plan.space, self.arch, None)), [3, *size]


Subject = Part | Network


class Bench:
    """Subjects that one process times.

    Args:
        plan: How.
        size: Height and width of the image.
        subjects: What.
    """

    def __init__(
        self, plan: Plan, size: tuple[int, int], subjects: Sequence[Subject]
    ) -> None:
        torch.set_num_threads(plan.threads)
        torch.manual_seed(0)
        self.clock = getattr(time, plan.clock)
        self.order = random.Random(0)
        self.last = 0.0
        self.calls = []
        for subject in subjects:
            module, shape = subject.module(plan, size)
            x = torch.rand(plan.batch, *shape)
            self.calls.append(prepare(plan.engine, module, x, plan.threads))

    @torch.inference_mode()
    def seconds(self) -> list[float]:
        """Time of one call of each subject, called in a random order."""
        taken = [0.0] * len(self.calls)
        order = list(range(len(self.calls)))
        self.order.shuffle(order)
        # Other processes have run since and filled the caches.
        if self.last < SHORT:
            self.calls[order[-1]]()
        for index in order:
            start = self.clock()
            self.calls[index]()
            taken[index] = self.clock() - start
        self.last = sum(taken)
        return taken


def time_subjects(
    plan: Plan,
    size: tuple[int, int],
    groups: Sequence[Sequence[Subject]],
    report: Report,
    title: str,
) -> dict[Subject, float]:
    """Median milliseconds of every subject; groups, each a process, take turns."""
    taken: list[list[list[float]]] = [[] for _ in groups]
    begun = time.monotonic()
    with ExitStack() as stack:
        benches = []
        for number, group in enumerate(groups, 1):
            bench = Isolated(Bench, plan, size, group, method='fork')
            benches.append(stack.enter_context(bench))
            left = (time.monotonic() - begun) / number * (len(groups) - number)
            report(f'{title}: preparing', number, len(groups), left)

        def measure(index: int) -> float:
            start = time.monotonic()
            taken[index].append(benches[index].ask('seconds'))
            return time.monotonic() - start

        interleave(
            {str(i): partial(measure, i) for i in range(len(groups))},
            plan.rounds,
            plan.warmup,
            progress=partial(report, title),
        )
    medians = {}
    for group, rounds in zip(groups, taken, strict=True):
        for subject, values in zip(group, zip(*rounds, strict=True), strict=True):
            medians[subject] = 1e3 * statistics.median(values[plan.warmup :])
    return medians


def part_groups(plan: Plan) -> list[list[Part]]:
    """All parts: first blocks with nothing left, then a group per relative width."""
    full = dict(zip(places(plan.space), full_arch(plan.space), strict=True))
    groups = [[Part(place, DEAD) for place in full]]
    for width in sorted(plan.widths):
        parts = []
        for place, block in full.items():
            for kernel, channels in zip(block.kernels, block.channels, strict=True):
                count = max(1, round(width * channels))
                count = round_up(count, plan.multiple, channels)
                parts.append(Part(place, BlockArch((kernel,), (count,))))
            if block.tokens:
                count = max(1, round(width * block.tokens))
                parts.append(Part(place, BlockArch((), (), count)))
        groups.append(parts)
    # Narrow blocks round several widths to the same count.
    seen: set[Part] = set()
    return [[p for p in group if not (p in seen or seen.add(p))] for group in groups]


def measure_table(plan: Plan, header: dict, report: Report) -> dict:
    """Measure everything; see :func:`mmpose_lite.search.latency.make_table`."""
    rows = [_measure_size(plan, size, header, report) for size in plan.image_sizes]
    return make_table(header, plan.space, rows)


def _measure_size(
    plan: Plan, size: tuple[int, int], header: dict, report: Report
) -> dict:
    skeleton = Network((DEAD,) * len(full_arch(plan.space)))
    random_nets = [
        Network(thin(plan.space, fraction, CALIBRATION + seed, size, plan.multiple))
        # Not the whole supernet, which verification measures too.
        for seed, fraction in enumerate(spread(plan.calibration, high=0.95))
    ]
    groups: list[list[Subject]] = [*part_groups(plan), [skeleton]]
    groups += [[net] for net in random_nets]
    title = f'{size[0]}x{size[1]}'
    medians = time_subjects(plan, size, groups, report, title)
    row = dict(image_size=size, scale=1.0, **_row(plan, medians, medians[skeleton]))
    if random_nets:
        cost = LatencyCost(make_table(header, plan.space, [row]), size)
        row['scale'] = _factor(plan.space, cost, random_nets, medians)
    return row


def _row(plan: Plan, medians: dict[Subject, float], skeleton: float) -> dict:
    """Entry of one image size, but for the factor."""
    where = list(places(plan.space))
    dead = {place: medians[Part(place, DEAD)] for place in where}
    # Calling an engine takes a while whatever it shall do, and that once a network.
    call = min(dead.values())
    shortcuts = {place: ms - call for place, ms in dead.items()}
    total = sum(shortcuts[place] for place in where)
    share = min(1.0, skeleton / total) if total else 1.0
    ops: dict[Place, dict[int, dict[int, float]]] = {place: {} for place in dead}
    tokens: dict[Place, dict[int, float]] = {place: {} for place in dead}
    for subject, ms in medians.items():
        if not isinstance(subject, Part) or subject.block == DEAD:
            continue
        place, block = subject.place, subject.block
        for kernel, count in zip(block.kernels, block.channels, strict=True):
            ops[place].setdefault(kernel, {})[count] = ms - dead[place]
        if block.tokens:
            tokens[place][block.tokens] = ms - dead[place]
    return dict(
        stem=max(0.0, skeleton - share * total),
        places=[
            place_entry(place, share * shortcuts[place], ops[place], tokens[place])
            for place in dead
        ],
    )


def _factor(
    space: SearchSpace,
    cost: LatencyCost,
    nets: Iterable[Network],
    medians: dict[Subject, float],
) -> float:
    """What blocks cost in networks over what they cost alone, the middle of all."""
    bare = cost.network(space, [DEAD] * len(full_arch(space)))
    ratios = []
    for net in nets:
        inside = cost.network(space, net.arch) - bare
        if inside > 0:
            ratios.append((medians[net] - bare) / inside)
    return max(statistics.median(ratios), 0.0) if ratios else 1.0
