"""Look for damaged data before a training.

Lists what is wrong with a COCO keypoint file and its images: file, id, what. Errors are
images and people that must not be learnt from; fatal is what no training can begin
with. The exit code is 1 if there is either, 0 if there are warnings at most.

  mmpose-lite check-data data/toy/annotations/person_keypoints_val.json data/toy/val
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import Counter
from pathlib import Path

from .. import data
from ..data.coco import read_json
from ..io.files import write_atomically
from . import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('annotations', metavar='ANNOTATIONS', help='COCO keypoint file')
    add('images', metavar='IMAGES', type=Path, help='folder of its images')
    add('--decode', action='store_true', help='decode images, not only their heads')
    add(
        '--keypoints', type=common.at_least(0), default=0,
        help='how many each person must have; 0 is what the categories say',
    )  # fmt: skip
    add('--workers', type=common.positive, default=4, help='threads')
    mend = 'write annotations with derived entries filled in'
    add('--mend', metavar='OUT', help=mend)
    add('--json', metavar='FILE', help='also write the list there')


def run(args: argparse.Namespace) -> int:
    """List, count, write; 1 if there are errors."""
    if args.mend:
        common.check_output('--mend', args.mend, [args.annotations])
    found = data.check_annotations(args.annotations, args.keypoints)
    findings, images = found.findings, data.image_list(found)
    for finding in findings:
        print(f'{finding.grade:7} {finding}')
    if not args.images.is_dir():
        raise NotADirectoryError(f'IMAGES must be a folder: {args.images}')
    done = 0
    with common.bars('images') as show:

        def count() -> None:
            nonlocal done
            done += 1
            show('images', done, len(images))

        for finding in data.check_images(
            images, args.images, decode=args.decode, workers=args.workers, advance=count
        ):
            findings.append(finding)
            line = f'{finding.grade:7} {finding}'
            show('images', done, len(images), line=line)
    print(found)
    if args.mend:
        content, filled = data.fill_annotations(read_json(args.annotations))
        write_atomically(args.mend, json.dumps(content).encode())
        what = ', '.join(f'{count} {name}' for name, count in filled.items())
        print(f'{args.mend}: {what or "nothing"} filled in')
    if args.json:
        rows = [dataclasses.asdict(finding) for finding in findings]
        text = json.dumps(rows, indent=1, ensure_ascii=False)
        write_atomically(args.json, text.encode())
    grades = Counter(finding.grade for finding in findings)
    print(', '.join(f'{grades[grade]} {grade}' for grade in grades) or 'nothing wrong')
    return int(bool(grades['fatal'] or grades['error']))
