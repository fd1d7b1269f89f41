"""Time TokenPose-S dense and with sparsity: ``python tools/benchmark_tokenpose.py``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
from benchmarks import tokenpose as bench
from benchmarks import tokenpose_report as report

from mmpose_lite.io.files import write_atomically


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, help='folder for report.md and .json')
    parser.add_argument('--plot', type=Path, help='PNG of cost against token count')
    parser.add_argument('--rounds', type=int, help='rounds that count')
    parser.add_argument('--quick', action='store_true', help='tiny sizes, seconds')
    parser.add_argument(
        '--cpu-time', action='store_true', help='processor time, on a busy machine'
    )
    parser.add_argument(
        '--parts', nargs='+', choices=bench.PARTS, default=bench.PARTS,
        help='what to measure',
    )  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Measure; print each table, and write the report, as soon as it is there."""
    args = parse_args()
    plan = bench.Plan.quick() if args.quick else bench.Plan()
    if args.rounds is not None:
        plan = replace(plan, rounds=args.rounds)
    if args.cpu_time:
        plan = replace(plan, clock='process_time')
    jobs, runs = plan.jobs(args.parts), []
    columns = (
        TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
        TextColumn('{task.fields[left]:.0f} s left'),
    )  # fmt: skip
    # Networks run in forked processes, which a thread that draws would endanger.
    with Progress(*columns, transient=True, auto_refresh=False) as bar:
        for number, job in enumerate(jobs, 1):
            task = bar.add_task(f'{number}/{len(jobs)} {job.title}', left=0.0)

            def advance(
                done: int, total: int, left: float, task: TaskID = task
            ) -> None:
                bar.update(task, completed=done, total=total, left=left, refresh=True)

            runs.append(bench.measure(plan, job, advance))
            bar.remove_task(task)
            print(f'\n{report.run_table(runs[-1])}', flush=True)
            if args.out:
                report.write_report(args.out, runs, plan)
    print(f'\n{report.target_table(runs)}')
    if args.quick:
        print('\nThese are tiny networks: the figures mean nothing.')
    sweep = [run for run in runs if run.job.part == 'sweep']
    if args.plot and sweep:
        args.plot.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(args.plot, report.plot_sweep(sweep))


if __name__ == '__main__':
    main()
