"""What MMEngine's runs left behind: metrics, seconds per step, as a short table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def _records(work_dir: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Lines of all json logs below a work dir, newest run and last line first."""
    root = Path(work_dir)
    # Runs live in folders named by their time, so names sort as time does.
    for log in sorted(root.glob('[0-9]*/**/[0-9]*.json'), reverse=True):
        for line in reversed(log.read_text().splitlines()):
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue  # a run that was killed while it wrote


def last_metric(work_dir: str | os.PathLike[str], name: str) -> float:
    """Newest value of a metric below a work dir of ``mim test`` or ``mim train``.

    Args:
        work_dir: The run's ``--work-dir``.
        name: As logged, such as ``'coco/AP'``.

    Returns:
        The value.

    Raises:
        ValueError: If no run there logged the metric.
    """
    for record in _records(work_dir):
        if name in record:
            return float(record[name])
    raise ValueError(f'no run below {str(work_dir)!r} logged {name!r}')


def seconds_per_step(work_dir: str | os.PathLike[str]) -> float:
    """Mean seconds per training step of the newest run, loading of data included.

    Args:
        work_dir: The ``--work-dir`` of ``mim train``.

    Returns:
        Seconds, the mean over what the run logged.

    Raises:
        ValueError: If no run there logged a training step.
    """
    logs = sorted(Path(work_dir).glob('[0-9]*/vis_data/scalars.json'), reverse=True)
    for log in logs:
        times = [
            record['time']
            for record in map(json.loads, log.read_text().splitlines())
            if 'time' in record and 'loss' in record
        ]
        if times:
            return sum(times) / len(times)
    raise ValueError(f'no run below {str(work_dir)!r} logged a training step')


def format_table(rows: Mapping[str, str]) -> str:
    """Two aligned columns between rules.

    Args:
        rows: What was measured to its value, in order.

    Returns:
        Text of ``len(rows) + 2`` lines, without a newline at its end.
    """
    name_width = max(map(len, rows), default=0)
    value_width = max(map(len, rows.values()), default=0)
    rule = '-' * (name_width + value_width + 3)
    lines = [
        f'{name:<{name_width}} | {value:>{value_width}}' for name, value in rows.items()
    ]
    return '\n'.join([rule, *lines, rule])
