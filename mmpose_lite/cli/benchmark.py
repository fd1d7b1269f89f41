"""Time pose networks of this package beside MMPose's, on several engines.

Every row runs in a process of its own, all interleaved round by round, on a machine on
which nothing else runs. Writes results.json and results.md to --out.

    mmpose-lite benchmark 'xhrnet-*' mmpose-litehrnet-18 --engines openvino native
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from ..io.files import write_atomically
from .common import bars, pixels, positive, threads

BASELINE = 'mmpose-litehrnet-18'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        'networks', nargs='*',
        help="names or patterns such as 'xhrnet-*', or configs; all of --list if none",
    )  # fmt: skip
    add(
        '--engines', nargs='+', default=[], metavar='ENGINE',
        help='such as openvino, openvino:bf16; all of the processor if none',
    )  # fmt: skip
    add(
        '--device', choices=['cpu', 'cuda'], default='cpu',
        help='cuda is the engine cuda, where no other is named',
    )  # fmt: skip
    add('--batch', type=positive, nargs='+', default=[1])
    add('--threads', type=threads, default=1)
    add('--input-size', type=pixels, nargs=2, default=[256, 192], metavar=('H', 'W'))
    add('--rounds', type=positive, default=30)
    add('--baseline', help=f'a contestant; {BASELINE} if it takes part')
    add('--steps', action='store_true', help='time our networks after each pass')
    add('--out', type=Path, default=Path('work_dirs/benchmark'), help='folder')
    add('--picture', type=Path, help='PNG of latency against published accuracy')
    add(
        '--update', type=Path, nargs='+', default=[], metavar='FILE',
        help='documents to put tables into, between their markers',
    )  # fmt: skip
    add('--list', action='store_true', help='print the contestants')


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; 1 if anything has no figures."""
    from .. import benchmark

    contestants = benchmark.choose(args.networks)
    if args.list:
        print('\n'.join(f'{one.name:28}{one.title}' for one in contestants))
        return 0
    names = [one.name for one in contestants]
    plan = benchmark.Plan(
        contestants,
        benchmark.choose_engines(args.engines or ['cuda'] * (args.device == 'cuda')),
        args.baseline or (BASELINE if BASELINE in names else names[0]),
        batches=tuple(args.batch),
        image_size=tuple(args.input_size),
        threads=args.threads,
        rounds=args.rounds,
        steps=args.steps,
    )
    for document in args.update:
        benchmark.update_document(document, None)
    with bars(thread=False) as progress:
        save = partial(benchmark.write_results, args.out)
        results = benchmark.run(plan, progress, save)
    print(f'\n{benchmark.report(results)}\n\n{args.out}')
    for document in args.update:
        benchmark.update_document(document, results)
    if args.picture:
        from ..benchmark.picture import plot_pareto

        args.picture.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(args.picture, plot_pareto(results))
    return int(results.failed)
