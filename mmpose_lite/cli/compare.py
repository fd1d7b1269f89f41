"""Compare two exported models on annotated people, such as two precisions of one.

Reports shifts of keypoints, the average precision of both, and the bootstrap interval
of its difference.

  mmpose-lite compare fp16.onnx fp32.onnx --images ANN IMG_DIR
"""

from __future__ import annotations

import argparse

from .. import deploy
from ..io.markdown import format_table
from . import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('model', metavar='MODEL')
    parser.add_argument('reference', metavar='REFERENCE')
    parser.add_argument(
        '--images', nargs=2, action='append', required=True,
        metavar=('ANN', 'IMG_DIR'), help='COCO json and its images; may be repeated',
    )  # fmt: skip
    parser.add_argument(
        '--rounds', type=common.positive, default=1000, help='of the bootstrap'
    )


def run(args: argparse.Namespace) -> None:
    with common.bars() as show:
        files = args.model, args.reference, args.images
        found = deploy.compare(*files, args.rounds, show)
    interval = f'95 % within {found.low:+.2f} and {found.high:+.2f}'
    rows = {
        'people': str(found.people),
        'keypoint shift, median': f'{found.median:.3f} px',
        '95 of 100, all keypoints': f'{found.p95:.2f} px',
        '95 of 100, labelled ones': f'{found.labelled_p95:.2f} px',
        'AP of the reference': f'{found.reference_ap:.2f}',
        'AP of the model': f'{found.ap:.2f}',
        'difference': f'{found.ap - found.reference_ap:+.2f}, {interval}',
    }
    print(format_table(rows))
