"""TokenPose-S in every form of sparsity beside its dense and its explicit form."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmpose_lite.analysis import (
    Isolated,
    Spread,
    Timing,
    count_macs,
    interleave,
    stopwatch,
)
from mmpose_lite.analysis.timing import Progress
from mmpose_lite.models.backbones import HRNetTrunk
from mmpose_lite.models.heads import TokenPoseHead
from mmpose_lite.models.layers import PatchEmbedding, SelfAttention

CHANNELS, KEYPOINTS = 256, 17
STEM = dict(
    stage1=dict(
        num_modules=1,
        num_branches=1,
        block='BOTTLENECK',
        num_blocks=(4,),
        num_channels=(64,),
    )
)
# Name → sparse_cfg; 'explicit' is the dense network written straightforwardly: patches
# cut by rearranging, softmax attention step by step, as in the research code.
VARIANTS: dict[str, dict[str, Any] | None] = {
    'dense': None,
    'explicit': None,
    'token': dict(mode='token'),
    'shared, keypoint': dict(mode='shared', queries='keypoint'),
    'shared, visual': dict(mode='shared', queries='visual'),
    'block': dict(mode='block', block=4),
    'mask': dict(mode='mask'),
    'gather': dict(mode='gather'),
}
PARTS = ('head', 'kept', 'model', 'sweep')
PRACTICAL = ('dense', 'explicit', 'token', 'shared, keypoint')
SLOW = ('gather',)  # 20 to 50 times the dense head's time


class ExplicitAttention(SelfAttention):
    """Attention step by step: the logits and their softmax are tensors of their own."""

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Softmax of the scaled products, times the values."""
        if mask is not None:
            raise ValueError('mask must be None: this form is for dense heads')
        logits = torch.einsum('bhid,bhjd->bhij', query, key) * self.scale
        return torch.einsum('bhij,bhjd->bhid', logits.softmax(dim=-1), value)


class RearrangedPatches(PatchEmbedding):
    """Patches cut out by rearranging the map, then a linear layer."""

    def forward(self, feat: Tensor) -> Tensor:
        """Cut and embed in two steps."""
        width, height = self.patch_size
        cut = feat.unflatten(3, (-1, width)).unflatten(2, (-1, height))
        patches = cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        return F.linear(patches, self.weight, self.bias)


@dataclass(frozen=True)
class Size:
    """A network's size; (w, h).

    Attributes:
        name: What tables call it.
        map_size: Map before the head, in cells.
        patch_size: Of a token, in cells.
    """

    name: str
    map_size: tuple[int, int]
    patch_size: tuple[int, int]

    @property
    def tokens(self) -> int:
        """Number of visual tokens."""
        (width, height), (column, row) = self.map_size, self.patch_size
        return width // column * (height // row)


@dataclass(frozen=True)
class Job:
    """What runs interleaved.

    Attributes:
        part: ``'model'`` times whole models, the others heads alone; ``'kept'`` in
            processes that keep freed memory.
        size: Of the network.
        batch: Images at a time.
        names: Variants, 'dense' and 'explicit' among them.
    """

    part: str
    size: Size
    batch: int
    names: tuple[str, ...]

    @property
    def title(self) -> str:
        """What it measures."""
        what = 'whole model' if self.part == 'model' else 'head alone'
        what += ', freed memory kept' * (self.part == 'kept')
        return (
            f'{self.size.name}, {what}: {self.size.tokens} visual tokens, '
            f'batch {self.batch}'
        )


@dataclass(frozen=True)
class Plan:
    """What to measure and how long.

    Attributes:
        heads: Sizes at which the head alone and the whole model are timed.
        sweep: Sizes for cost against token count, at batch 1.
        batches: Images at a time.
        rounds: Rounds that count.
        warmup: Calls before them.
        every: Rounds from one call of a slow variant to the next.
        clock: Function of the module ``time``; ``'process_time'`` counts this process
            alone, for a busy machine.
    """

    heads: tuple[Size, ...] = (
        Size('S-v1', (48, 64), (3, 4)),
        Size('S-v2', (48, 64), (2, 2)),
    )
    sweep: tuple[Size, ...] = (
        Size('256', (32, 32), (2, 2)),
        Size('768', (48, 64), (2, 2)),
        Size('1728', (72, 96), (2, 2)),
        Size('3072', (96, 128), (2, 2)),
    )
    batches: tuple[int, ...] = (1, 8)
    rounds: int = 16
    warmup: int = 2
    every: int = 6
    clock: str = 'perf_counter'

    def jobs(self, parts: Iterable[str] = PARTS) -> list[Job]:
        """What belongs to some of the parts."""
        names = dict(head=tuple(VARIANTS), kept=PRACTICAL, model=PRACTICAL)
        jobs = [
            Job(part, size, batch, names[part])
            for part in parts
            if part in names
            for size in self.heads
            for batch in self.batches
        ]
        if 'sweep' in parts:
            jobs += [Job('sweep', size, 1, PRACTICAL) for size in self.sweep]
        return jobs

    @classmethod
    def quick(cls) -> Plan:
        """A few seconds; its figures mean nothing."""
        return cls(
            heads=(Size('S-v1', (12, 16), (3, 4)), Size('S-v2', (16, 16), (2, 2))),
            sweep=tuple(Size(str(4 * n), (2 * n, 8), (2, 2)) for n in (2, 4, 6)),
            batches=(1, 2),
            rounds=2,
            warmup=1,
            every=2,
        )


@dataclass(frozen=True)
class Run:
    """What a job measured.

    Attributes:
        job: The job.
        timings: Name of a variant to its times.
        macs: Name of a variant to MACs of one image.
    """

    job: Job
    timings: dict[str, Timing]
    macs: dict[str, int]

    def speedup(self, fast: str, slow: str = 'dense') -> Spread:
        """Time of ``slow`` over that of ``fast``, round by round."""
        return self.timings[slow].over(self.timings[fast])


class Network:
    """A variant with seeded weights and input, in eval mode, on one thread."""

    def __init__(self, job: Job, name: str) -> None:
        if job.part == 'kept':
            keep_freed_memory()
        torch.set_num_threads(1)
        torch.manual_seed(0)
        size = job.size
        head = TokenPoseHead(
            in_channels=CHANNELS,
            out_channels=KEYPOINTS,
            in_featuremap_size=size.map_size,
            heatmap_size=(48, 64),
            patch_size=size.patch_size,
            qk_scale='width',
            sparse_cfg=VARIANTS[name],
        )
        if name == 'explicit':
            write_out(head, size)
        torch.manual_seed(1)  # making the explicit form has drawn more numbers
        width, height = size.map_size
        self.head, self.stem, shape = head.eval(), None, (CHANNELS, height, width)
        if job.part == 'model':
            self.stem = HRNetTrunk(STEM, num_stages=1).eval()
            shape = (3, 4 * height, 4 * width)
        self.batch = torch.randn(job.batch, *shape)

    @torch.inference_mode()
    def __call__(self, images: int | None = None) -> Tensor:
        """Heatmaps of the batch, or of its first images."""
        feats = (self.batch[:images],)
        return self.head(feats if self.stem is None else self.stem(*feats))

    def seconds(self, clock: str) -> float:
        """Time of one call."""
        return stopwatch(self, getattr(time, clock))

    def heatmaps(self) -> np.ndarray:
        """Heatmaps of the first image."""
        return self(1).numpy()

    def macs(self) -> int:
        """MACs of one image."""
        return count_macs(partial(self, 1))


def keep_freed_memory() -> None:
    """Let this process keep what it frees, instead of returning it to the kernel.

    By glibc's defaults large tensors may be mapped anew in every call, and their pages
    cleared one by one, which can take as long as what is computed on them; or not,
    depending on what was allocated before. This takes that out of a comparison.

    Raises:
        RuntimeError: If the C library is not glibc.
    """
    mmap_max, trim_threshold = -4, -1  # numbers of glibc's malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        raise RuntimeError("'kept' needs the mallopt of glibc") from None
    if not (mallopt(mmap_max, 0) and mallopt(trim_threshold, 2**31 - 1)):
        raise RuntimeError('mallopt refused to keep freed memory')


def write_out(head: TokenPoseHead, size: Size) -> None:
    """Give a dense head its straightforward form, with the same weights."""
    embedding = head.patch_embedding
    cut = RearrangedPatches(CHANNELS, size.patch_size, embedding.out_features)
    cut.load_state_dict(embedding.state_dict())
    head.patch_embedding = cut
    for layer in chain(*head.encoders):
        fused = layer.attention
        explicit = ExplicitAttention(
            fused.out.in_features, fused.num_heads, fused.scale
        )
        explicit.load_state_dict(fused.state_dict())
        layer.attention = explicit


def measure(plan: Plan, job: Job, progress: Progress | None = None) -> Run:
    """Do a job, each variant in a process of its own; they take turns.

    Args:
        plan: How often.
        job: What.
        progress: As of :func:`interleave`.

    Raises:
        RuntimeError: If the explicit form computes something else than the dense one.
    """
    with ExitStack() as stack:
        networks = {
            name: stack.enter_context(Isolated(Network, job, name, method='fork'))
            for name in job.names
        }
        dense, explicit = (networks[n].ask('heatmaps') for n in ('dense', 'explicit'))
        if not abs(dense - explicit).max() < 1e-4:
            raise RuntimeError(
                'explicit and fused attention differ by '
                f'{abs(dense - explicit).max():.2g}, allowed is 1e-4'
            )
        timings = interleave(
            {n: partial(net.ask, 'seconds', plan.clock) for n, net in networks.items()},
            plan.rounds,
            plan.warmup,
            {name: plan.every for name in job.names if name in SLOW},
            progress,
        )
        macs = {name: network.ask('macs') for name, network in networks.items()}
    return Run(job, timings, macs)
