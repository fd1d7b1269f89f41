"""Describe one's own keypoints to MMPose.

ANNOTATIONS is a COCO keypoint file, OUT the Python file that ``metainfo`` of a data set
in a config names. Read what is printed: everything is guessed from names.

  mmpose-lite describe-keypoints data/cats/train.json configs/cats.py
"""

from __future__ import annotations

import argparse
import pprint
import sys
from pathlib import Path

from ..data import describe_keypoints
from ..data.coco import read_json
from ..data.keypoints import pair_problem
from ..io.files import write_atomically


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('source', metavar='ANNOTATIONS', type=Path)
    parser.add_argument('target', metavar='OUT', type=Path)
    parser.add_argument('--name', help='of the data set; that of OUT if not given')
    parser.add_argument('--overwrite', action='store_true', help='an older OUT')


def run(args: argparse.Namespace) -> None:
    if args.target.exists() and not args.overwrite:
        raise ValueError(
            f'{args.target} exists, perhaps with changes of yours: see --overwrite'
        )
    annotations = read_json(args.source)
    try:
        info = describe_keypoints(annotations, args.name or args.target.stem)
    except ValueError as error:
        raise ValueError(f'{args.source}: {error}') from None
    text = pprint.pformat(info, width=88, sort_dicts=False)
    write_atomically(args.target, f'dataset_info = {text}\n'.encode())
    for number, point in info['keypoint_info'].items():
        twin = f'mirrored {point["swap"]}' if point['swap'] else 'in the middle'
        sigma = info['sigmas'][number]
        print(f'{number:3} {point["name"]}: {point["type"]} body, {twin}, {sigma=}')
    problem = pair_problem([p['name'] for p in info['keypoint_info'].values()])
    if problem:
        print(f'warning: {problem}', file=sys.stderr)
    print(f'{args.target}: {len(info["keypoint_info"])} keypoints')
