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
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...analysis import Isolated, interleave
from ...models.backbones.hrnas_arch import Place, SearchSpace, full_arch, places
from .cost import LatencyCost
from .subjects import (
    DEAD,
    LatencySettings,
    Network,
    Part,
    Subject,
    part_groups,
    random_networks,
)
from .table import make_table, place_entry

# Seeds of the networks that set the factor; those that verify it start from 0.
CALIBRATION = 10_000
# Seconds; before shorter calls the caches are filled again, as other processes ran.
SHORT = 0.03

Progress = Callable[[str, int, int, float], None]
"""What is being done, steps done, steps in all, seconds left."""


class Bench:
    """Subjects that one process times.

    Args:
        settings: How.
        size: Height and width of the image.
        subjects: What.
    """

    def __init__(
        self,
        settings: LatencySettings,
        size: tuple[int, int],
        subjects: Sequence[Subject],
    ) -> None:
        torch.set_num_threads(settings.threads)
        torch.manual_seed(0)
        self.clock = getattr(time, settings.clock)
        self.order = random.Random(0)
        self.last = 0.0
        self.calls = [prepare(settings, *s.build(settings, size)) for s in subjects]

    @torch.inference_mode()
    def seconds(self) -> list[float]:
        """Time of one call of each subject, called in a random order."""
        taken = [0.0] * len(self.calls)
        order = list(range(len(self.calls)))
        self.order.shuffle(order)
        if self.last < SHORT:
            self.calls[order[-1]]()
        for index in order:
            start = self.clock()
            self.calls[index]()
            taken[index] = self.clock() - start
        self.last = sum(taken)
        return taken


def prepare(
    settings: LatencySettings, module: nn.Module, x: Tensor
) -> Callable[[], object]:
    """A call of a module with its input on the engine."""
    module.eval()
    if settings.engine == 'pytorch':
        return partial(module, x)
    # Only here: a search that reads a table needs no export.
    from ...deploy import open_engine, to_onnx

    contents = {'.onnx': to_onnx(module, x, batch=len(x))}
    session = open_engine(contents, settings.engine, settings.threads)
    return partial(session.run, x.numpy())


def time_subjects(
    settings: LatencySettings,
    size: tuple[int, int],
    groups: Sequence[Sequence[Subject]],
    progress: Progress,
    title: str,
) -> dict[Subject, float]:
    """Median milliseconds of every subject; groups, each a process, take turns."""
    if not groups:
        return {}
    taken: list[list[list[float]]] = [[] for _ in groups]
    begun = time.monotonic()
    with ExitStack() as stack:
        benches = []
        for number, group in enumerate(groups, 1):
            bench = Isolated(Bench, settings, size, group, method='fork')
            benches.append(stack.enter_context(bench))
            left = (time.monotonic() - begun) / number * (len(groups) - number)
            progress(f'{title}: preparing', number, len(groups), left)

        def measure(index: int) -> float:
            start = time.monotonic()
            taken[index].append(benches[index].ask('seconds'))
            return time.monotonic() - start

        interleave(
            {str(i): partial(measure, i) for i in range(len(groups))},
            settings.rounds,
            settings.warmup,
            progress=partial(progress, title),
        )
    medians = {}
    for group, rounds in zip(groups, taken, strict=True):
        for subject, values in zip(group, zip(*rounds, strict=True), strict=True):
            medians[subject] = 1e3 * statistics.median(values[settings.warmup :])
    return medians


def measure_latency(
    settings: LatencySettings,
    space_name: str = 'space',
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Latency table of a space, for :class:`mmpose_lite.search.LatencyCost`.

    Measure on a quiet machine, on the engine and with as many threads as will run the
    searched network. Subjects run in forked processes, so no other thread may run here.

    Args:
        settings: What to measure, and how.
        space_name: What the table calls the space: a name, or the path of a config.
        progress: Called after every step.

    Returns:
        The table, ready for JSON.
    """
    header = settings.header(space_name)
    sizes = [_measure_size(settings, s, header, progress) for s in settings.image_sizes]
    return make_table(header, settings.space, sizes)


def _measure_size(
    settings: LatencySettings, size: tuple[int, int], header: dict, progress: Progress
) -> dict[str, Any]:
    """Entry of one image size."""
    space = settings.space
    skeleton = Network((DEAD,) * len(full_arch(space)))
    # Not the whole supernet, which verification measures too.
    random_nets = random_networks(
        settings, size, settings.calibration, first_seed=CALIBRATION, high=0.95
    )
    groups: list[list[Subject]] = [*part_groups(settings), [skeleton]]
    groups += [[net] for net in random_nets]
    medians = time_subjects(settings, size, groups, progress, f'{size[0]}x{size[1]}')
    row = dict(image_size=size, scale=1.0, **_row(space, medians, medians[skeleton]))
    if random_nets:
        cost = LatencyCost(make_table(header, space, [row]), size)
        row['scale'] = _factor(space, cost, random_nets, medians)
    return row


def _row(
    space: SearchSpace, medians: dict[Subject, float], skeleton: float
) -> dict[str, Any]:
    """Entry of one image size, but for the factor."""
    where = list(places(space))
    dead = {place: medians[Part(place, DEAD)] for place in where}
    # Calling an engine takes a while whatever it computes, and that once a network.
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
