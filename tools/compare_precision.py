"""What a lower precision costs, on annotated people.

``python tools/compare_precision.py MODEL REFERENCE --images ANN IMG_DIR``: shifts of
keypoints between two exported models, and average precision of both with the bootstrap
interval of its difference.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.progress import Progress

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
from mmpose_lite.deploy import PoseRuntime
from mmpose_lite.deploy.evaluation import Cost, cost
from mmpose_lite.deploy.images import Scenes, coco_scenes
from mmpose_lite.deploy.outputs import Outputs, merged, runtime_outputs
from mmpose_lite.io.markdown import format_table


def run(file: str, parts: list[Scenes], bar: Progress) -> Outputs:
    """Outputs of a model on all people."""
    runtime, found = PoseRuntime(file), []
    task = bar.add_task(Path(file).name, total=sum(part.people for part in parts))
    for part in parts:
        before = sum(len(one.scores) for one in found)
        found.append(
            runtime_outputs(
                runtime,
                part,
                lambda done, _, before=before: bar.update(
                    task, completed=before + done
                ),
            )
        )
    return merged(found)


def report(found: Cost) -> str:
    """The figures as a table."""
    return format_table(
        {
            'people': str(found.people),
            'keypoint shift, median': f'{found.median:.3f} px',
            '95 of 100, all keypoints': f'{found.p95:.2f} px',
            '95 of 100, labelled ones': f'{found.labelled_p95:.2f} px',
            'AP of the reference': f'{found.reference_ap:.2f}',
            'AP of the model': f'{found.ap:.2f}',
            'difference': f'{found.ap - found.reference_ap:+.2f}, '
            f'95 % within {found.low:+.2f} and {found.high:+.2f}',
        }
    )


def main() -> None:
    """Compare two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('model', metavar='MODEL')
    parser.add_argument('reference', metavar='REFERENCE')
    parser.add_argument(
        '--images', nargs=2, action='append', required=True,
        metavar=('ANN', 'IMG_DIR'), help='COCO json and its images; may be repeated',
    )  # fmt: skip
    parser.add_argument('--rounds', type=int, default=1000, help='of the bootstrap')
    args = parser.parse_args()
    try:
        parts = [coco_scenes(*pair) for pair in args.images]
        with Progress(transient=True) as bar:
            outputs = [run(f, parts, bar) for f in (args.model, args.reference)]
        print(report(cost(*outputs, parts, args.rounds)))
    except (ValueError, ImportError, OSError) as error:
        raise SystemExit(f'error: {error}') from None


if __name__ == '__main__':
    main()
