"""What every rewrite of ``deploy.optimize`` gains."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

import torch

from mmpose_lite.analysis import Isolated
from mmpose_lite.deploy import gains

from .contestants import Contestant, build, settle
from .pose_engines import Setting, random_images
from .pose_run import Plan, exported


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


def count_gains(
    plan: Plan, report: Callable[[str, int, int, float], None]
) -> dict[str, dict[str, list[dict]]]:
    """Operators, bytes and differences after each rewrite, for ours.

    Args:
        plan: Who takes part; what its engines need says which rewrites.
        report: As of ``pose_run.run``.

    Returns:
        Name to target of ``deploy.optimize`` to a row per rewrite.

    Raises:
        ValueError: If none of ours takes part.
    """
    ours = [one for one in plan.contestants if one.ours]
    if not ours:
        raise ValueError('models must have one of ours whose rewrites can be counted')
    targets = dict.fromkeys('graph' if exported(e) else 'eager' for e in plan.engines)
    found: dict[str, dict[str, list[dict]]] = {}
    begun, total = time.monotonic(), len(ours) * len(targets)
    for contestant in ours:
        with Isolated(Scale, contestant, plan.setting, method='fork') as scale:
            for target in targets:
                done = sum(map(len, found.values()))
                left = (time.monotonic() - begun) / max(done, 1) * (total - done)
                report(f'rewriting {contestant.name}', done, total, left)
                rows = scale.ask('gains', target)
                found.setdefault(contestant.name, {})[target] = rows
    report('rewriting', total, total, 0.0)
    return found
