"""What every rewrite of ``deploy.optimize`` gains."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from mmpose_lite.analysis import Isolated
from mmpose_lite.deploy import gains

from .contestants import Contestant, build, choose, settle
from .pose_engines import random_images
from .pose_plan import Plan, Setting, target_of
from .pose_run import Report, run


class Scale:
    """A contestant whose rewrites are counted."""

    def __init__(self, contestant: Contestant, setting: Setting) -> None:
        torch.set_num_threads(setting.threads)
        self.size = setting.image_size
        self.estimator = settle(build(contestant), self.size)

    def gains(self, target: str) -> list[dict]:
        """A row as trained and one after each rewrite."""
        image = random_images(1, self.size)
        rows = gains(self.estimator, image, target=target, image_size=self.size)
        return [
            dict(
                asdict(row),
                operators=row.traffic.operators,
                megabytes=row.traffic.megabytes,
            )
            for row in rows
        ]


def count_gains(plan: Plan, report: Report) -> dict[str, dict[str, list[dict]]]:
    """Operators, bytes and differences after each rewrite.

    Args:
        plan: Who is rewritten; what its engines need says with which rewrites.
        report: As of ``pose_run.run``.

    Returns:
        Name to target of ``deploy.optimize`` to a row per rewrite.
    """
    # What is compiled has no steps to be timed.
    engines = [engine for engine in plan.engines if engine != 'native'] or plan.engines
    targets = dict.fromkeys(map(target_of, engines))
    found: dict[str, dict[str, list[dict]]] = {}
    begun, total = time.monotonic(), len(plan.contestants) * len(targets)
    for contestant in plan.contestants:
        with Isolated(Scale, contestant, plan.setting, method='fork') as scale:
            for target in targets:
                done = sum(map(len, found.values()))
                left = (time.monotonic() - begun) / max(done, 1) * (total - done)
                report(f'rewriting {contestant.name}', done, total, left)
                rows = scale.ask('gains', target)
                found.setdefault(contestant.name, {})[target] = rows
    report('rewriting', total, total, 0.0)
    return found


def measure_gains(
    plan: Plan,
    names: Sequence[str],
    timed: bool,
    report: Report,
    kept: Path | None = None,
) -> dict:
    """What every rewrite of some networks gains; the times of batch 1 if asked for.

    Args:
        plan: How; engines and precisions among it.
        names: Networks of ours.
        timed: Whether to time each step, all steps of a network in turns.
        report: As of ``pose_run.run``.
        kept: See there.

    Raises:
        ValueError: If a name is unknown, or one of MMPose's.
    """
    chosen = choose_ours(names)
    steps = replace(
        plan, contestants=chosen, baseline=chosen[0].name, batches=(1,), steps=True
    )
    counts = count_gains(steps, report)
    times = run(steps, report, lambda results: None, kept) if timed else None
    return dict(
        titles={one.name: one.title for one in chosen},
        counts=counts,
        timed=None if times is None else times.as_data(),
    )


def choose_ours(names: Sequence[str]) -> tuple[Contestant, ...]:
    """Networks that can be rewritten, by name or pattern.

    Raises:
        ValueError: If a name is unknown, or one of MMPose's.
    """
    chosen = choose(names)
    for one in chosen:
        if not one.ours:
            raise ValueError(f'gains are those of our networks, got {one.name!r}')
    return tuple(chosen)
