"""Time pose networks of this package beside MMPose's: ``python tools/benchmark.py``.

Writes results.md, .csv and .json and pareto.png to ``--out``; see docs/benchmark.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
from benchmarks.bound import measure_bound
from benchmarks.contestants import choose
from benchmarks.pose_files import check_markers, update_document, write_report
from benchmarks.pose_gains import choose_ours, measure_gains
from benchmarks.pose_plan import PRECISIONS, Plan, Setting, check_available
from benchmarks.pose_report import full_report
from benchmarks.pose_results import Results
from benchmarks.pose_run import Failure, begin, last_line, run
from benchmarks.pose_training import measure_training

ROOT = Path(__file__).resolve().parents[1]
FAVOURITE = 'litehrnet-18'


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('models', nargs='*', help="names or patterns such as 'xhrnet-*'; none for all")
    add('--engines', type=_words, help='comma-separated; all but litert by default')
    add('--precisions', type=_words, help='comma-separated; all by default')
    add('--threads', type=int, default=1)
    add('--batch', type=int, nargs='+', default=[1, 8])
    add('--rounds', type=int, default=30)
    add('--warmup', type=int, default=2, help='turns before the rounds')
    add('--baseline', help='a contestant; mmpose-litehrnet-18 if it takes part')
    add('--input-size', type=int, nargs=2, default=[256, 192], metavar=('H', 'W'))
    add('--group', type=int, default=48, help='processes that are timed in turns')
    add('--device', choices=list(PRECISIONS), default='cpu')
    add('--out', type=Path, default=ROOT / 'work_dirs' / 'benchmark', help='folder')
    add('--training', action='store_true', help='also a training step')
    add(
        '--bound', nargs='?', const=FAVOURITE, metavar='MODEL',
        help='also plain C++ loops for a network; needs g++',
    )  # fmt: skip
    add('--gains', nargs='*', metavar='MODEL', help='also what each rewrite gains')
    add('--time-gains', action='store_true', help='and its time, on all engines')
    add('--only', action='store_true', help='only what is asked for with "also"')
    add('--keep', type=Path, metavar='FOLDER', help='keep exported networks there')
    add('--prepare', action='store_true', help='only fill --keep, without timing')
    add('--cpu-time', action='store_true', help='processor time, on a busy machine')
    add('--reuse', action='store_true', help='take latencies from --out')
    add(
        '--update-readme', nargs='*', type=Path, metavar='FILE',
        help='put tables between the markers of README.md, or of other documents',
    )  # fmt: skip
    add('--list', action='store_true', help='print the contestants')
    args = parser.parse_args()
    if args.gains == []:
        args.gains = [FAVOURITE]
    if args.update_readme == []:
        args.update_readme = [ROOT / 'README.md']
    return args


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(',') if word)


def make_plan(args: argparse.Namespace) -> Plan:
    """What the arguments ask for; all that can be wrong is found here.

    Raises:
        ValueError: If that cannot be done.
        OSError: If a document cannot be read.
    """
    chosen = choose(args.models)
    names = [one.name for one in chosen]
    known = PRECISIONS[args.device]
    # What litert converts with takes an environment of its own.
    engines = args.engines or tuple(e for e in known if e != 'litert')
    for engine in engines:
        check_available(engine, args.device)
    offered = dict.fromkeys(p for e in engines for p in known.get(e, ()))
    usual = 'mmpose-litehrnet-18'
    if args.prepare and args.keep is None:
        raise ValueError('--prepare needs --keep FOLDER, else it would be for nothing')
    for document in args.update_readme or ():
        check_markers(document)
    choose([args.bound] if args.bound else [])
    choose_ours(args.gains or [FAVOURITE])
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
    )


def measure(args: argparse.Namespace, plan: Plan, bar: Progress) -> Results:
    """Everything that was asked for, written whenever a part of it is there."""
    tasks: dict = {}

    def advance(title: str, done: int, total: int, left: float) -> None:
        key = (title.split()[0], total)
        if key not in tasks:
            tasks[key] = bar.add_task(title, total=total, left=left)
        bar.update(
            tasks[key], description=title, completed=done, left=left, refresh=True
        )

    results = begin(plan)
    if args.reuse:
        text = (args.out / 'results.json').read_text(encoding='utf-8')
        results = Results.from_data(json.loads(text))
    elif not args.only:
        save = partial(write_report, args.out)
        results = run(plan, advance, save, args.keep, not args.prepare)
    for name, job in more(args, plan, advance).items():
        results.errors.pop(name, None)
        try:
            results.extras[name] = job()
        except (*Failure, ValueError) as error:
            results.errors[name] = last_line(error)
        write_report(args.out, results)
    return results


def more(
    args: argparse.Namespace, plan: Plan, advance: Callable[..., None]
) -> dict[str, Callable[[], dict]]:
    """What is measured beside latencies, if asked for."""
    jobs: dict[str, Callable[[], dict]] = {}
    if args.gains:
        timed = args.time_gains and not args.prepare
        jobs['gains'] = partial(
            measure_gains, plan, args.gains, timed, advance, args.keep
        )
    if args.training:
        jobs['training'] = partial(
            measure_training,
            plan.setting,
            # A step takes seconds.
            rounds=min(plan.rounds, 10),
            progress=partial(advance, 'training'),
        )
    if args.bound:
        network = choose([args.bound])[0]
        jobs['bound'] = partial(measure_bound, network, plan.setting, plan.rounds)
    return jobs


def main() -> int:
    """Measure, print, write; 1 if anything has no figures."""
    args = parse_args()
    if args.list:
        print('\n'.join(f'{one.name:28}{one.title}' for one in choose([])))
        return 0
    columns = (
        TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
        TextColumn('{task.fields[left]:.0f} s left'),
    )  # fmt: skip
    try:
        plan = make_plan(args)
        # Rows run in forked processes, which a thread that draws would endanger.
        with Progress(*columns, auto_refresh=False) as bar:
            results = measure(args, plan, bar)
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from None
    write_report(args.out, results)
    for document in args.update_readme or ():
        update_document(document, results)
    print(f'\n{full_report(results)}\n\n{args.out}')
    return int(results.failed)


if __name__ == '__main__':
    sys.exit(main())
