"""Draw toy people, train X-HRNet on them, evaluate it before and after, draw it.

Needs no download and no GPU; about four minutes on two CPU cores, a quarter less with
OMP_NUM_THREADS=2 if nothing else runs.

  mmpose-lite demo --out work_dirs/demo
"""

from __future__ import annotations

import argparse
from functools import partial

from . import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('--out', default='work_dirs/demo', help='folder of runs and the picture')
    add('--data', default='data/toy', help='folder of the toy data')
    add('--train', type=common.positive, default=2800, help='training images')
    add('--val', type=common.positive, default=240, help='held-out images')
    add(
        '--cfg-options', nargs='*', default=[], metavar='KEY=VALUE',
        help="more settings for mim's --cfg-options",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    from ..demo import demonstrate
    from ..io.markdown import format_table

    common.quiet()
    rows, picture = demonstrate(
        args.out, args.data, train=args.train, val=args.val,
        options=args.cfg_options, tell=partial(print, flush=True),
    )  # fmt: skip
    print(format_table(rows))
    print(f'{picture}: held-out images, ground truth and prediction')
