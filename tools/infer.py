"""Find people's poses: ``python tools/infer.py INPUT --model NAME --weights FILE``.

INPUT is an image, a folder of images, a video or a camera's number. The exit code is 1
if an image could not be read; the others are done all the same.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # (first: it makes MMPose importable)

# isort: split
import logging

from mmengine.logging import MMLogger

from mmpose_lite import inference as inf


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('input', metavar='INPUT', help='image, folder, video or number of a camera')
    add(
        '--model', required=True,
        help='name or alias in the zoo, a config, or an exported .onnx, .xml or .so',
    )  # fmt: skip
    add('--weights', help='checkpoint')
    people = parser.add_mutually_exclusive_group()
    people.add_argument('--detector', help='config of mmdet, or a name it knows')
    people.add_argument(
        '--boxes', help='json: {image: [[x1, y1, x2, y2], …]}, or of COCO'
    )
    people.add_argument(
        '--whole-image', action='store_true', help='one person per image (the default)'
    )
    add('--detector-weights', help='checkpoint; a name that mmdet knows needs none')
    add('--box-threshold', type=float, default=0.3, help='least score of a box')
    add('--out', help='folder for drawn images or the drawn video')
    add('--json', help='file for COCO keypoint results')
    add('--keypoint-threshold', type=float, default=0.3, help='least score to draw')
    add('--draw-boxes', action='store_true')
    add('--frames', type=int, help='stop after so many images')
    add('--device', help='cpu, cuda:0, …; a GPU if there is one')
    add('--threads', type=int, default=1, help='of the engine of an exported model')
    args = parser.parse_args()
    if not args.out and not args.json:
        parser.error('nothing to do: give --out FOLDER, --json FILE or both')
    if args.detector_weights and not args.detector:
        parser.error('--detector-weights needs --detector')
    return args


def open_poser(args: argparse.Namespace) -> inf.PoseInferencer | inf.ExportedPoser:
    """The model, with the detector if there is one."""
    detector = args.detector, args.detector_weights
    if Path(args.model).suffix not in inf.EXPORTED:
        return mmpose_lite.inferencer(
            args.model, args.weights, detector=detector[0],
            detector_weights=detector[1], device=args.device,
        )  # fmt: skip
    if args.weights:
        raise ValueError(f'--weights: {args.model} holds its weights already')
    found = inf.Detector(*detector, args.device) if args.detector else None
    return inf.ExportedPoser(args.model, found, args.threads)


def run(args: argparse.Namespace) -> inf.Done:
    """All images, with progress, images per second and time left."""
    source = inf.open_source(args.input)
    boxes = inf.read_boxes(args.boxes, args.box_threshold) if args.boxes else None
    album = inf.Album if source.kind == 'images' else inf.Film
    sink = album(args.out, source) if args.out else None
    if args.json:
        Path(args.json).parent.mkdir(parents=True, exist_ok=True)
    poser = open_poser(args)
    painter = inf.Painter(poser.visualizer, args.keypoint_threshold, args.draw_boxes)
    total = min(filter(None, (source.total, args.frames)), default=None)
    columns = (
        TextColumn(source.name), BarColumn(), MofNCompleteColumn(),
        TextColumn('{task.fields[rate]:.1f} images/s'), TimeLeft(),
    )  # fmt: skip
    with Progress(*columns) as bar:
        task = bar.add_task('', total=total, rate=0.0)

        def advance(done: inf.Done, problem: str) -> None:
            rate = done.images / done.seconds if done.seconds else 0.0
            bar.update(task, advance=1, rate=rate)
            if problem:
                bar.console.print(f'skipped {problem}', markup=False, highlight=False)

        frames = itertools.islice(source, args.frames)
        return inf.process(
            frames, poser, boxes, args.box_threshold, painter, sink, advance
        )


def main() -> int:
    """Find, draw, write; 1 if an image was passed over."""
    args = parse_args()
    # Loading says more than anyone needs; what is wrong comes as an error.
    MMLogger.get_instance('infer').setLevel(logging.ERROR)
    try:
        done = run(args)
        if args.json:
            inf.write_results(args.json, done.results)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f'error: {error}') from None
    rate = f' ({done.images / done.seconds:.1f} images/s)' if done.seconds else ''
    print(f'{done.images} images, {len(done.results)} people{rate}')
    for where in filter(None, (args.out, args.json)):
        print(where)
    if done.failures:
        print(f'{len(done.failures)} images were skipped', file=sys.stderr)
    return int(bool(done.failures))


if __name__ == '__main__':
    sys.exit(main())
