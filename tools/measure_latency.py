"""Measure what HR-NAS's blocks cost here: ``python tools/measure_latency.py --out F``.

A search takes the file as ``resource=dict(cost='F.json', …)``. Measure on a quiet
machine, on the engine and with as many threads as will run the searched network.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
from benchmarks import latency_report as report
from benchmarks.engines import ENGINES
from benchmarks.latency import measure_table
from benchmarks.latency_check import verify
from benchmarks.latency_plan import describe, make_plan

from mmpose_lite.io.files import write_atomically
from mmpose_lite.models.backbones.hrnas_arch import TRANSFORMERS
from mmpose_lite.search import LatencyCost

# What a table's networks must share with those that verify it.
SETTINGS = ('multiple', 'threads', 'batch')


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('--out', type=Path, required=True, help='the table, JSON')
    add('--engine', choices=list(ENGINES), default='pytorch')
    add('--space', default='keypoint', help='name, or a config with an HRNASNet')
    add('--transformer', choices=[t for t in TRANSFORMERS if t], help='in named spaces')
    add(
        '--input-size', type=int, nargs=2, action='append', metavar=('H', 'W'),
        help='repeat it for several, between which one can interpolate',
    )  # fmt: skip
    add('--threads', type=int, default=1)
    add('--batch', type=int, default=1)
    add('--rounds', type=int, default=30, help='of which medians are taken')
    add('--widths', type=float, nargs='+', help='of parts, relative to the supernet')
    add('--multiple', type=int, help='of which hidden widths are; 4 for onnxruntime')
    add('--calibration', type=int, default=8, help='networks that set the factor')
    add('--verify', type=int, metavar='N', help='also predict and time N networks')
    add('--plot', type=Path, help='PNG of predicted against measured times')
    add('--reuse', action='store_true', help='only verify the table that --out is')
    add('--cpu-time', action='store_true', help='processor time, on a busy machine')
    return parser.parse_args()


def main() -> None:
    """Measure, write; verify, print, write again."""
    args = parse_args()
    try:
        plan = make_plan(args)
        if args.reuse:
            table = json.loads(args.out.read_text(encoding='utf-8'))
            for size in plan.image_sizes:
                LatencyCost(table, size, engine=plan.engine, source=str(args.out))
            given = table['header']
            same = {k: given.get(k, getattr(plan, k)) for k in SETTINGS}
            plan = replace(plan, **same)
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from None
    args.out.parent.mkdir(parents=True, exist_ok=True)
    columns = (
        TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
        TextColumn('{task.fields[left]:.0f} s left'),
    )  # fmt: skip
    # Subjects run in forked processes, which a thread that draws would endanger.
    with Progress(*columns, auto_refresh=False) as bar:
        tasks: dict = {}

        def advance(title: str, done: int, total: int, left: float) -> None:
            if title not in tasks:
                tasks[title] = bar.add_task(title, total=total, left=left)
            task = tasks[title]
            bar.update(task, completed=done, left=left, refresh=True)

        if not args.reuse:
            header = describe(plan, args.space)
            table = measure_table(plan, header, advance)
            write_table(args.out, table)
        found = verify(plan, table, args.verify, advance) if args.verify else []
    for one in found:
        print(f'\n{report.verification_table(one)}')
    if found:
        table['verification'] = report.verification_data(found, plan.rounds)
        write_table(args.out, table)
    if found and args.plot:
        args.plot.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(args.plot, report.plot_verification(found, table['header']))
    print(f'\n{args.out}')


def write_table(path: Path, table: dict) -> None:
    """The table as JSON."""
    write_atomically(path, json.dumps(table, indent=1).encode())


if __name__ == '__main__':
    main()
