"""Draw people with exact annotations, in COCO's format.

The same seed draws the same images; a second run only adds what is missing.

  mmpose-lite toy-data data/toy --train 12 --val 4
"""

from __future__ import annotations

import argparse

from ..data import generate_toy_coco
from . import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('out_dir', metavar='OUT', help='folder to write to')
    add('--train', type=common.at_least(0), default=2800, help='training images')
    add('--val', type=common.at_least(0), default=240, help='held-out images')
    add(
        '--size', type=common.at_least(64, 4096), nargs=2, default=(320, 240),
        metavar=('W', 'H'), help='px',
    )  # fmt: skip
    add('--seed', type=common.at_least(0), default=0)
    add('--max-persons', type=common.positive, default=3)


def run(args: argparse.Namespace) -> None:
    total = args.train + args.val
    with common.bars('images') as show:
        data = generate_toy_coco(
            args.out_dir, args.train, args.val, args.size, args.seed, args.max_persons,
            lambda done, _: show('toy images', done, total),
        )  # fmt: skip
        show('toy images', total, total)
    what = f'{data.written} images written' if data.written else 'all there already'
    print(f'{data.root}: {what}')
