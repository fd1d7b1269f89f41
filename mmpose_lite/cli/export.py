"""Export a network to a file that was proven to do the same on real images.

The file is written only if its engine does with it what MMPose does with the
checkpoint.

  mmpose-lite export CONFIG CHECKPOINT model.onnx --batch dynamic --images ANN IMG_DIR
"""

from __future__ import annotations

import argparse

from .. import deploy
from ..io.markdown import format_table
from ..zoo import find_model
from . import common

PRECISIONS = ('fp32', 'fp16')


def batch(text: str) -> int | None:
    """A number of crops, or any number."""
    return None if text == 'dynamic' else common.positive(text)


def tolerance(text: str) -> tuple[str, float]:
    """A name and its limit."""
    name, _, value = text.partition('=')
    return name, float(value)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('config', metavar='CONFIG', help='config, or name in the zoo')
    add('checkpoint', metavar='CHECKPOINT')
    files = 'model.onnx, model.xml (OpenVINO), model.so (native)'
    add('out', metavar='OUT', help=files)
    add('--format', help='default: that of the suffix of OUT')
    add('--precision', choices=PRECISIONS, default='fp32', help='of stored weights')
    add('--input-size', type=common.pixels, nargs=2, metavar=('H', 'W'), help='px')
    add('--batch', type=batch, default=1, metavar='N', help="a number, or 'dynamic'")
    add('--no-optimize', action='store_true', help='export the network as trained')
    add(
        '--images', nargs='+', default=(), metavar='PATH',
        help='what to compare on: a folder of images, or a COCO json and its folder; '
        "default: the config's validation data, or drawn people where it is missing",
    )  # fmt: skip
    people = 'to compare on, at most about'
    add('--people', type=common.positive, default=32, help=people)
    add(
        '--tolerance', type=tolerance, nargs='+', default=(), metavar='NAME=LIMIT',
        help='of heatmap (relative), median, p95, max (px)',
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    with common.bars() as show:
        done = deploy.export(
            find_model(args.config).config, args.checkpoint, args.out,
            format=args.format, precision=args.precision,
            image_size=args.input_size and tuple(args.input_size),
            batch=args.batch, optimized=not args.no_optimize,
            images=args.images, people=args.people,
            tolerance=dict(args.tolerance), progress=show,
        )  # fmt: skip
    found, source = done.difference, done.contract.source
    heatmap = f'{found.heatmap:.2e} ({found.relative:.1e})'
    rows = {
        'compared on': f'{source["compared_on"]}, {found.people} people',
        'largest heatmap difference': heatmap,
        'largest keypoint shift': f'{found.max:.3f} px',
        'median, 95 of 100': f'{found.median:.4f} px, {found.p95:.4f} px',
        'other peaks': f'{found.moved} of {found.keypoints}',
    }
    print(format_table(rows))
    for path in done.paths:
        print(f'{path} ({path.stat().st_size / 1e6:.2f} MB)')
