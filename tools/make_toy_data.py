"""Write toy pose data in COCO's format: ``python tools/make_toy_data.py data/toy``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmpose_lite.data import generate_toy_coco


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out_dir', help='folder to write to')
    parser.add_argument('--train', type=int, default=2800, help='training images')
    parser.add_argument('--val', type=int, default=240, help='held-out images')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(320, 240), metavar=('W', 'H'), help='px'
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--max-persons', type=int, default=3)
    return parser.parse_args()


def main() -> None:
    """Generate the data with progress, images per second and time left."""
    args = parse_args()
    columns = (
        TextColumn('toy images'), BarColumn(), MofNCompleteColumn(),
        TextColumn('{task.fields[rate]:.0f} images/s'), TimeLeft(),
    )  # fmt: skip
    total = args.train + args.val
    with Progress(*columns) as bar:
        task = bar.add_task('', total=total, rate=0.0)
        try:
            data = generate_toy_coco(
                args.out_dir, args.train, args.val, args.size, args.seed,
                args.max_persons, lambda done, _: bar.update(
                    task, completed=done, rate=bar.tasks[0].speed or 0.0
                ),
            )  # fmt: skip
        except ValueError as error:
            raise SystemExit(f'error: {error}') from None
        bar.update(task, completed=total)
    print(f'{data.root}: {data.written} images written' if data.written
          else f'{data.root}: all there already')  # fmt: skip


if __name__ == '__main__':
    main()
