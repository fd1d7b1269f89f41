"""Train and test configs under one recipe: table, curves, logs.

Every config is trained from scratch on the same data for the same number of steps, once
per seed, and its last weights are tested. Configs that differ in what a budget is
(data, epochs, batch size, input size, metrics, weights to begin with) are refused; an
optimizer, a schedule or an augmentation of their own is noted in the table. OUT gets
results.md, results.json, curves.png, and a folder and logs for each run. What is there
is not done again, so a killed comparison goes on where it stopped. Paths of data are
relative to the project.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
from comparing.comparison import Comparison
from comparing.steps import exit_when_terminated
from mmengine.config import DictAction
from mmengine.registry import init_default_scope


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('configs', type=Path, nargs='+', metavar='CONFIG')
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    parser.add_argument('--data-root', help="folder in the place of the configs' own")
    parser.add_argument(
        '--epochs', type=int, help="in the place of the configs' own; schedules follow"
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument(
        '--metrics', nargs='+', default=['PCK', 'coco/AP'], help='the first is drawn'
    )
    parser.add_argument(
        '--update', nargs='+', type=Path, default=[], help='pages that get the table'
    )
    parser.add_argument(
        '--report', action='store_true', help='train nothing: write what is there'
    )
    parser.add_argument('--gpus', type=int, default=0, help='0 for the CPU')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args()


def main() -> int:
    """Compare; the exit code is 1 if a run failed."""
    args = parse_args()
    args.out = args.out.resolve()
    exit_when_terminated()
    init_default_scope('mmpose')
    try:
        comparison = Comparison(args)
        comparison.write_configs()
    except (ValueError, FileNotFoundError) as error:
        sys.exit(str(error))
    comparison.run()
    print(f'\n{(args.out / "results.md").read_text()}')
    return int(any(row.failures for row in comparison.rows.values()))


if __name__ == '__main__':
    sys.exit(main())
