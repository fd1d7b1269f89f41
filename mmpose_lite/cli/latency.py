"""Measure what HR-NAS's blocks cost on this machine, as a table for a search.

A search takes the table as ``resource=dict(cost='table.json', ...)``. Measure on a
quiet machine, on the engine and with as many threads as will run the searched network.

    mmpose-lite latency --out table.json --engine onnxruntime --verify 20
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from ..io.files import write_atomically
from .common import at_least, bars, pixels, positive, threads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('--out', type=Path, required=True, help='the table, JSON')
    engines = ['pytorch', 'onnxruntime', 'openvino']
    add('--engine', choices=engines, default='pytorch')
    add('--space', default='keypoint', help='name, or a config with an HRNASNet')
    add('--transformer', choices=['residual', 'all'], help='in named spaces')
    add(
        '--input-size', type=pixels, nargs=2, action='append', metavar=('H', 'W'),
        help='repeat it for several, between which one can interpolate',
    )  # fmt: skip
    add('--threads', type=threads, default=1)
    add('--batch', type=positive, default=1)
    add('--rounds', type=positive, default=30, help='of which medians are taken')
    add('--widths', type=float, nargs='+', help='of parts, relative to the supernet')
    add(
        '--multiple', type=at_least(0), default=0,
        help='of which hidden widths are; by default 4 for onnxruntime, else 1',
    )  # fmt: skip
    add('--calibration', type=positive, default=8, help='networks that set the factor')
    add('--verify', type=positive, metavar='N', help='also predict and time N networks')
    add('--reuse', action='store_true', help='only verify the table that --out is')


def run(args: argparse.Namespace) -> None:
    from ..search import latency

    space, size = latency.read_space(args.space, args.transformer)
    names = ('engine', 'threads', 'batch', 'rounds', 'multiple', 'calibration')
    given = {name: getattr(args, name) for name in names}
    if args.widths:
        given['widths'] = tuple(args.widths)
    sizes = tuple(map(tuple, args.input_size or [size]))
    settings = latency.LatencySettings(space, sizes, **given)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with bars(thread=False) as progress:
        if args.reuse:
            table = json.loads(args.out.read_text(encoding='utf-8'))
            # What the table's networks must share with those that verify it.
            shared = ('multiple', 'threads', 'batch')
            same = {key: table['header'][key] for key in shared}
            settings = replace(settings, **same)
        else:
            table = latency.measure_latency(settings, args.space, progress)
            write_table(args.out, table)
        found = []
        if args.verify:
            found = latency.verify_latency(settings, table, args.verify, progress)
    for one in found:
        print(f'\n{one}')
    if found:
        table['verification'] = [one.as_data() for one in found]
        write_table(args.out, table)
    print(f'\n{args.out}')


def write_table(path: Path, table: dict) -> None:
    """The table as JSON."""
    write_atomically(path, json.dumps(table, indent=1).encode())
