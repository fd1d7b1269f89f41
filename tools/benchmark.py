"""Time pose networks of this package beside MMPose's: ``python tools/benchmark.py``.

Writes results.md, .csv and .json and pareto.png to ``--out``; see docs/benchmark.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
from benchmarks import pose_report as report
from benchmarks.bound import measure_bound
from benchmarks.contestants import choose
from benchmarks.engines import check_engine
from benchmarks.pose_engines import PRECISIONS, Setting
from benchmarks.pose_gains import count_gains
from benchmarks.pose_plot import plot_pareto
from benchmarks.pose_results import Results
from benchmarks.pose_run import Failure, Plan, begin, exported, last_line, run
from benchmarks.pose_training import measure_training

from mmpose_lite.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]


def parse_args(given: list[str] | None = None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('models', nargs='*', help="names or patterns such as 'xhrnet-*'; none for all")
    add('--engines', type=_words, help='of the device, comma-separated')
    add('--precisions', type=_words, help='f32,bf16 by default (f32,f16 on a GPU)')
    add('--threads', type=int, default=1)
    add('--batch', type=int, nargs='+', default=[1, 8])
    add('--rounds', type=int, default=30)
    add('--warmup', type=int, default=2, help='turns before the rounds')
    add('--baseline', help='a contestant; mmpose-litehrnet-18 if it takes part')
    add('--input-size', type=int, nargs=2, default=[256, 192], metavar=('H', 'W'))
    add('--group', type=int, default=48, help='processes that are timed in turns')
    add('--device', choices=list(PRECISIONS), default='cpu')
    add('--out', type=Path, default=ROOT / 'work_dirs' / 'benchmark', help='folder')
    add('--gains', action='store_true', help='each rewrite by itself instead')
    add('--no-latency', action='store_true', help='only what else is asked for')
    add('--training', action='store_true', help='also a training step')
    add('--bound', metavar='MODEL', nargs='?', const='litehrnet-18',
        help='also plain C++ loops for a network (needs g++)')  # fmt: skip
    add('--cpu-time', action='store_true', help='processor time, on a busy machine')
    add('--reuse', action='store_true', help='report again what --out has; add to it')
    add('--update-readme', nargs='?', type=Path, const=ROOT / 'README.md',
        metavar='FILE', help='put the tables between its markers')  # fmt: skip
    add('--list', action='store_true', help='print the contestants')
    return parser.parse_args(given)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(',') if word)


def make_plan(args: argparse.Namespace) -> Plan:
    """What the arguments ask for.

    Raises:
        ValueError: If that cannot be done.
    """
    chosen = choose(args.models)
    names = [one.name for one in chosen]
    known = PRECISIONS[args.device]
    engines = args.engines or tuple(known)
    for engine in filter(exported, engines):
        check_engine(engine)
    offered = dict.fromkeys(p for e in engines for p in known.get(e, ()))
    usual = 'mmpose-litehrnet-18'
    return Plan(
        contestants=tuple(chosen),
        engines=engines,
        precisions=args.precisions or tuple(offered),
        batches=tuple(args.batch),
        baseline=args.baseline or (usual if usual in names else names[0]),
        setting=Setting(
            image_size=tuple(args.input_size),
            threads=args.threads,
            device=args.device,
            clock='process_time' if args.cpu_time else 'perf_counter',
        ),
        rounds=args.rounds,
        warmup=args.warmup,
        group=args.group,
        steps=args.gains,
    )


def save(folder: Path, results: Results) -> None:
    """Write the tables and, where there is something to draw, the picture."""
    report.write_report(folder, results)
    picture = plot_pareto(results) if not results.extras.get('gains') else None
    if picture is not None:
        write_atomically(folder / 'pareto.png', picture)


def measure(args: argparse.Namespace, plan: Plan, bar: Progress) -> Results:
    """Everything that was asked for."""
    tasks: dict = {}

    def advance(title: str, done: int, total: int, left: float) -> None:
        kind = title.split()[0]
        if kind not in tasks or bar.tasks[tasks[kind]].total != total:
            tasks[kind] = bar.add_task(title, total=total, left=left)
        bar.update(
            tasks[kind], description=title, completed=done, left=left, refresh=True
        )

    path = args.out / 'results.json'
    results = begin(plan)
    if args.reuse:
        results = Results.from_data(json.loads(path.read_text(encoding='utf-8')))
    elif not args.no_latency:
        results = run(plan, advance, lambda found: save(args.out, found))
    for name, job in extras(args, plan, advance).items():
        results.errors.pop(name, None)
        try:
            results.extras[name] = job()
        except (*Failure, ValueError) as error:
            results.errors[name] = last_line(error)
    return results


def extras(
    args: argparse.Namespace, plan: Plan, advance: Callable
) -> dict[str, Callable[[], dict]]:
    """What is measured beside latencies, if asked for."""
    jobs: dict[str, Callable[[], dict]] = {}
    if args.gains:
        jobs['gains'] = partial(count_gains, plan, advance)
    if args.training:
        progress = partial(advance, 'training')
        jobs['training'] = partial(measure_training, plan.setting, progress=progress)
    if args.bound:
        network = choose([args.bound])[0]
        jobs['bound'] = partial(measure_bound, network, plan.setting, plan.rounds)
    return jobs


def columns() -> Iterable:
    """What the progress bar shows."""
    return (
        TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
        TextColumn('{task.fields[left]:.0f} s left'),
    )  # fmt: skip


def main() -> int:
    """Measure, print, write; 1 if anything has no figures."""
    args = parse_args()
    if args.list:
        print('\n'.join(f'{one.name:28}{one.title}' for one in choose([])))
        return 0
    try:
        plan = make_plan(args)
        if args.update_readme:
            report.check_markers(args.update_readme)
        if args.bound:
            choose([args.bound])
        # Rows run in forked processes, which a thread that draws would endanger.
        with Progress(*columns(), auto_refresh=False) as bar:
            results = measure(args, plan, bar)
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from None
    save(args.out, results)
    print(f'\n{report.full_report(results)}\n\n{args.out}')
    if args.update_readme:
        report.update_readme(args.update_readme, results)
    return int(results.failed)


if __name__ == '__main__':
    sys.exit(main())
