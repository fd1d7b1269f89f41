"""Export a network, with proof: ``python tools/export.py CONFIG CHECKPOINT OUT``.

The file is written only if it does what the network does in PyTorch, on real images.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.progress import Progress

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
from mmpose_lite.deploy.exporting import Exported, Request, export
from mmpose_lite.deploy.runtime.contract import FORMATS, PRECISIONS
from mmpose_lite.io.markdown import format_table


def batch(text: str) -> int | None:
    """A number of crops, or any number."""
    return None if text == 'dynamic' else int(text)


def tolerance(text: str) -> tuple[str, float]:
    """A name and its limit."""
    name, _, value = text.partition('=')
    return name, float(value)


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('config', metavar='CONFIG')
    add('checkpoint', metavar='CHECKPOINT')
    add(
        'out', metavar='OUT', help='model.onnx, model.xml (OpenVINO), model.so (native)'
    )
    add('--format', choices=FORMATS, default='onnx')
    add('--precision', choices=PRECISIONS, default='fp32')
    add('--input-size', type=int, nargs=2, metavar=('H', 'W'), help='px')
    add('--batch', type=batch, default=1, metavar='N', help="a number, or 'dynamic'")
    add('--no-optimize', action='store_true', help='export the network as trained')
    add(
        '--images', nargs='+', default=(), metavar='PATH',
        help='what to compare on: a folder of images, or a COCO json and its folder; '
        "default: the config's validation data, or drawn people where it is missing",
    )  # fmt: skip
    add('--people', type=int, default=32, help='to compare on, at most about')
    add('--calibrate', nargs=2, metavar=('ANN', 'IMG_DIR'), help='for int8')
    add(
        '--int8-nodes', nargs='+', default=(), metavar='PATTERN',
        help="names of nodes that become int8; default: the family's table",
    )  # fmt: skip
    add(
        '--tolerance', type=tolerance, nargs='+', default=(), metavar='NAME=LIMIT',
        help='of heatmap (relative), median, p95, max (px)',
    )  # fmt: skip
    return parser.parse_args()


def report(done: Exported) -> str:
    """What was compared, as a table."""
    found, contract = done.difference, done.contract
    rows = {
        'compared on': f'{contract.source["compared_on"]}, {found.people} people',
        'largest heatmap difference': f'{found.heatmap:.2e} ({found.relative:.1e})',
        'largest keypoint shift': f'{found.max:.3f} px',
        'median, 95 of 100': f'{found.median:.4f} px, {found.p95:.4f} px',
        'other peaks': f'{found.moved} of {found.keypoints}',
    }
    return format_table(rows)


def main() -> None:
    """Export one network."""
    args = parse_args()
    request = Request(
        config=args.config,
        checkpoint=args.checkpoint,
        out=args.out,
        format=args.format,
        precision=args.precision,
        image_size=tuple(args.input_size) if args.input_size else None,
        batch=args.batch,
        optimized=not args.no_optimize,
        images=tuple(args.images),
        people=args.people,
        calibrate=tuple(args.calibrate) if args.calibrate else None,
        int8_nodes=tuple(args.int8_nodes),
        tolerance=dict(args.tolerance),
    )
    try:
        with Progress(transient=True) as bar:
            tasks: dict[str, int] = {}

            def show(name: str, done: int, total: int) -> None:
                if name not in tasks:
                    tasks[name] = bar.add_task(name, total=total)
                bar.update(tasks[name], completed=done)

            done = export(request, show)
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        raise SystemExit(f'error: {error}') from None
    print(report(done))
    sizes = (f'{path} ({path.stat().st_size / 1e6:.2f} MB)' for path in done.paths)
    print(*sizes, sep='\n')


if __name__ == '__main__':
    main()
