"""Look for damaged data before a training: ``check_data.py ANNOTATIONS IMAGES``.

Lists what is wrong with a COCO key-point file and its images: file, id, what. Errors
are images and people that must not be learnt from; fatal is what no training can begin
with. The exit code is 1 if there is either, 0 if there are warnings at most.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import sys
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmpose_lite import data
from mmpose_lite.io.files import write_atomically


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('annotations', metavar='ANNOTATIONS', help='COCO key-point file')
    add('images', metavar='IMAGES', type=Path, help='folder of its images')
    add('--decode', action='store_true', help='decode images, not only their heads')
    add('--keypoints', type=int, default=0, help='how many each person must have')
    add('--workers', type=int, default=4, help='threads')
    add('--json', metavar='FILE', help='also write the list there')
    args = parser.parse_args()
    if args.workers < 1 or args.keypoints < 0:
        parser.error('--workers must be at least 1 and --keypoints at least 0')
    return args


def run(args: argparse.Namespace) -> list[data.Finding]:
    """All findings, printed as they come."""
    columns = (
        TextColumn('images'), BarColumn(), MofNCompleteColumn(),
        TextColumn('{task.fields[rate]:.0f} images/s'), TimeLeft(),
    )  # fmt: skip
    with Progress(*columns) as bar:
        found = data.check_annotations(args.annotations, args.keypoints)
        images = data.image_list(found)
        task = bar.add_task('', total=len(images), rate=0.0)

        def advance() -> None:
            bar.update(task, advance=1, rate=bar.tasks[0].speed or 0.0)

        def tell(finding: data.Finding) -> None:
            text = f'{finding.grade:7} {finding}'
            bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

        for finding in found.findings:
            tell(finding)
        if not args.images.is_dir():
            raise NotADirectoryError(f'IMAGES must be a folder: {args.images}')
        for finding in data.check_images(
            images, args.images, decode=args.decode, workers=args.workers,
            advance=advance,
        ):  # fmt: skip
            tell(finding)
            found.findings.append(finding)
    print(
        f'{found.counts["images"]} images, {found.counts["persons"]} people, '
        f'{found.counts["unlabelled"]} of them without visible key points'
    )
    return found.findings


def main() -> int:
    """List, count, write; 1 if there are errors."""
    args = parse_args()
    try:
        findings = run(args)
        if args.json:
            rows = [dataclasses.asdict(finding) for finding in findings]
            text = json.dumps(rows, indent=1, ensure_ascii=False)
            write_atomically(args.json, text.encode())
    except OSError as error:
        raise SystemExit(f'error: {error}') from None
    grades = collections.Counter(finding.grade for finding in findings)
    print(', '.join(f'{grades[grade]} {grade}' for grade in grades) or 'nothing wrong')
    return int(bool(grades['fatal'] or grades['error']))


if __name__ == '__main__':
    sys.exit(main())
