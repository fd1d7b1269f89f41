"""Poses in an image, a folder of images, a video or a camera.

The exit code is 1 if an image could not be read; the others are done all the same.

  mmpose-lite infer photos --model litehrnet-18 --weights best.pth --out drawn
  mmpose-lite infer film.mp4 --model net.onnx --boxes boxes.json --json results.json
"""

from __future__ import annotations

import argparse
import sys

from . import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('input', metavar='INPUT', help='image, folder, video or number of a camera')
    model = 'name or alias in the zoo, a config, or an exported .onnx, .xml or .so'
    add('--model', required=True, help=model)
    said = 'checkpoint, or a name of `download --list`; if not given, the public one'
    add('--weights', help=said)
    common.add_device(parser)
    people = parser.add_mutually_exclusive_group()
    people.add_argument('--detector', help='config of mmdet, or a name it knows')
    file = 'json: {image: [[x1, y1, x2, y2], …]}, or of COCO'
    people.add_argument('--boxes', help=file)
    whole = 'one person per image (the default)'
    people.add_argument('--whole-image', action='store_true', help=whole)
    add('--category', help='name or id of the people in --boxes, if it cannot tell')
    add('--detector-weights', help='checkpoint; a name that mmdet knows needs none')
    add(
        '--box-threshold', type=common.score,
        help='least score of a box, 0.3 if not given',
    )  # fmt: skip
    add('--out', help='folder for drawn images or the drawn video')
    add('--json', help='file for COCO keypoint results')
    add(
        '--keypoint-threshold', type=common.score, default=0.3,
        help='least score to draw',
    )  # fmt: skip
    add('--draw-boxes', action='store_true')
    add('--frames', type=common.positive, help='stop after so many images')
    add('--threads', type=common.threads, help='of the engine of an exported model')


def run(args: argparse.Namespace) -> int:
    """Find, draw, write; 1 if an image was passed over."""
    if not args.out and not args.json:
        args.error('nothing to do: give --out FOLDER, --json FILE or both')
    if args.detector_weights and not args.detector:
        args.error('--detector-weights needs --detector')
    if args.box_threshold is not None and not (args.detector or args.boxes):
        args.error('--box-threshold needs --detector or --boxes')
    if args.category and not args.boxes:
        args.error('--category needs --boxes')
    threshold = 0.3 if args.box_threshold is None else args.box_threshold
    from .. import inference

    common.quiet()
    source = inference.open_source(args.input)
    if args.json:
        read = [args.model, f'{args.model}.json', args.weights, args.boxes]
        common.check_output('--json', args.json, [*source.paths, *read])
    boxes = None
    if args.boxes:
        boxes = inference.read_boxes(args.boxes, threshold, args.category)
    painter = inference.Painter(args.keypoint_threshold, args.draw_boxes)
    writers: list[inference.Writer] = []
    if args.out:
        writers.append(inference.open_writer(args.out, source, painter))
    model = inference.open_predictor(
        args.model, args.weights, device=args.device, threads=args.threads,
        detector=args.detector, detector_weights=args.detector_weights,
    )  # fmt: skip
    if args.json:
        known = None if boxes is not None and boxes.image_ids else source
        given = {} if boxes is None else dict(category=boxes.category)
        writers.append(inference.Results(args.json, known, **given))
    total = min(filter(None, (source.total, args.frames)), default=None)
    with common.bars('images') as show:

        def tell(done: inference.Done, problem: str) -> None:
            line = problem and f'skipped {problem}'
            count = done.images + len(done.failures)
            show(source.name, count, total, rate=done.rate, line=line)

        done = inference.run(
            source, model, boxes, writers, threshold=threshold, limit=args.frames,
            on_frame=tell,
        )  # fmt: skip
    rate = f' ({done.rate:.1f} images/s)' if done.seconds else ''
    print(f'{done.images} images, {done.people} people{rate}')
    print(*filter(None, (args.out, args.json)), sep='\n')
    if done.failures:
        print(f'{len(done.failures)} images were skipped', file=sys.stderr)
    return int(bool(done.failures))
