"""Describe one's own key points to MMPose: ``describe_keypoints.py ANNOTATIONS OUT``.

ANNOTATIONS is a COCO key-point file, OUT the Python file that ``metainfo`` of a data
set in a config names. Read what it prints: everything is guessed from names.
"""

from __future__ import annotations

import argparse
import json
import pprint
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmpose_lite.data import describe_keypoints
from mmpose_lite.io.files import write_atomically


def main() -> None:
    """Write the description and show what was guessed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', metavar='ANNOTATIONS', type=Path)
    parser.add_argument('target', metavar='OUT', type=Path)
    parser.add_argument('--name', help='of the data set; that of OUT if not given')
    args = parser.parse_args()
    try:
        annotations = json.loads(args.source.read_text(encoding='utf-8'))
        info = describe_keypoints(annotations, args.name or args.target.stem)
        text = pprint.pformat(info, width=88, sort_dicts=False)
        write_atomically(args.target, f'dataset_info = {text}\n'.encode())
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {args.source}: {error}') from None
    for number, point in info['keypoint_info'].items():
        twin = f'mirrored {point["swap"]}' if point['swap'] else 'in the middle'
        sigma = info['sigmas'][number]
        print(f'{number:3} {point["name"]}: {point["type"]} body, {twin}, {sigma=}')
    print(f'{args.target}: {len(info["keypoint_info"])} key points')


if __name__ == '__main__':
    main()
