"""A training step of MMPose's Lite-HRNet-18 and of ours, time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial

import torch
from torch.nn import functional as F

from mmpose_lite.analysis import Isolated, interleave, stopwatch

from .contestants import Contestant, build, choose
from .pose_engines import random_images
from .pose_memory import Memory
from .pose_plan import Setting

SLOW, FAST = 'mmpose-litehrnet-18', 'litehrnet-18'


class TrainingStep:
    """Forward, backward and a step of Adam on random images and heatmaps."""

    def __init__(self, contestant: Contestant, setting: Setting, batch: int) -> None:
        torch.set_num_threads(setting.threads)
        self.clock = getattr(time, setting.clock)
        before = Memory()
        self.network = build(contestant)
        self.network.train()
        self.images = random_images(batch, setting.image_size)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3)
        with torch.no_grad():
            shape = self.network(self.images[:2], None, mode='tensor').shape[1:]
        self.target = torch.rand(batch, *shape)
        self.memory = before.reset()

    def step(self) -> None:
        """One step."""
        self.optimizer.zero_grad()
        heatmaps = self.network(self.images, None, mode='tensor')
        F.mse_loss(heatmaps, self.target).backward()
        self.optimizer.step()

    def turn(self) -> float:
        """Seconds of one step."""
        return stopwatch(self.step, self.clock)

    def megabytes(self) -> float | None:
        """Peak memory of the steps, with network and optimizer."""
        return self.memory.peak()


def measure_training(
    setting: Setting,
    batch: int = 16,
    rounds: int = 10,
    progress: Callable[[int, int, float], None] | None = None,
) -> dict:
    """Time both, in processes of their own, in turns.

    Args:
        setting: Image size, threads and clock.
        batch: Images at a time.
        rounds: Rounds that count.
        progress: As of ``analysis.interleave``.
    """
    with ExitStack() as stack:
        steps = {
            one.name: stack.enter_context(
                Isolated(TrainingStep, one, setting, batch, method='fork')
            )
            for one in choose([SLOW, FAST])
        }
        timings = interleave(
            {name: partial(step.ask, 'turn') for name, step in steps.items()},
            rounds,
            1,
            progress=progress,
        )
        peaks = {name: step.ask('megabytes') for name, step in steps.items()}
    networks = {
        name: dict(
            seconds=asdict(timing.spread),
            rounds=dict(timing.seconds),
            megabytes=peaks[name],
        )
        for name, timing in timings.items()
    }
    known = None not in peaks.values()
    return dict(
        batch=batch,
        rounds=rounds,
        slow=SLOW,
        fast=FAST,
        networks=networks,
        ratio=asdict(timings[SLOW].over(timings[FAST])),
        memory_ratio=peaks[SLOW] / peaks[FAST] if known else None,
    )
