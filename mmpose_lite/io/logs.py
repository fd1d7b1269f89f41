"""Scalar logs of MMEngine's runs: losses, metrics, seconds per step."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def read_scalars(work_dir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Records that all runs into a work dir logged, oldest first.

    Args:
        work_dir: The ``--work-dir`` of ``mim train`` or ``mim test``. A training that
            was resumed has a folder of logs for each of its runs, and may have logged
            some steps twice: the later record counts.

    Returns:
        One mapping per line: ``loss``, ``time`` (seconds per step, loading included)
        and ``step`` of training steps, the metrics of validations (``step`` is their
        epoch) and of tests. Empty if nothing was logged. A line that a killed run left
        incomplete is skipped.
    """
    records = []
    # Runs live in folders named by their time, so names sort as time does. Tests log
    # beside ``vis_data``, trainings in it.
    for run in sorted(Path(work_dir).glob('[0-9]*')):
        for log in (run / 'vis_data' / 'scalars.json', run / f'{run.name}.json'):
            for line in log.read_text().splitlines() if log.is_file() else ():
                try:
                    records.append(json.loads(line))
                except json.JSONDecodeError:
                    continue
    return records


def last_metric(work_dir: str | os.PathLike[str], name: str) -> float:
    """Newest value of a metric, such as ``'coco/AP'``; ValueError if there is none."""
    for record in reversed(read_scalars(work_dir)):
        if name in record:
            return float(record[name])
    raise ValueError(f'no run below {str(work_dir)!r} logged {name!r}')


def seconds_per_step(work_dir: str | os.PathLike[str]) -> float:
    """Mean seconds per training step, data included; ValueError if none was logged."""
    times = [one['time'] for one in read_scalars(work_dir) if 'loss' in one]
    if not times:
        raise ValueError(f'no run below {str(work_dir)!r} logged a training step')
    return sum(times) / len(times)
