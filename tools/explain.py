"""Draw what a model looked at: ``tools/explain.py IMAGE --model NAME --out PNG``.

Without weights the model is a random one, which shows the method but no knowledge.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import torch
from mmengine.logging import MMLogger

from mmpose_lite.explain import save_image
from mmpose_lite.explain.explain import explain, families
from mmpose_lite.explain.explain_figure import draw_explanation
from mmpose_lite.inference import PoseInferencer, open_source
from mmpose_lite.zoo import find_model


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('image', metavar='IMAGE', help='of one person, or with several and --box')
    add('--model', required=True, help='name or alias in the zoo, or a config')
    add('--weights', help='checkpoint; random weights if not given')
    add('--out', required=True, help='PNG')
    add('--box', type=float, nargs=4, metavar=('X1', 'Y1', 'X2', 'Y2'), help='px')
    add('--keypoints', nargs='+', help='to show one by one; four if not given')
    add('--device', help='cpu, cuda:0, …; a GPU if there is one')
    return parser.parse_args()


def main() -> None:
    """Predict, explain and draw one person."""
    args = parse_args()
    MMLogger.get_instance('explain').setLevel(logging.ERROR)
    torch.manual_seed(0)
    try:
        (frame,) = open_source(args.image)
        if frame.image is None:
            raise ValueError(f'cannot read {args.image}: {frame.problem}')
        found = find_model(args.model)
        model = PoseInferencer(found.config, args.weights, args.device).model
        explained = explain(model, frame.image, args.box, args.keypoints)
        weights = Path(args.weights).name if args.weights else (
            'random: this shows the method, not what a trained model knows'
        )  # fmt: skip
        kinds = ', '.join(families(model)) or 'heatmaps only'
        picture = draw_explanation(
            explained,
            model.dataset_meta,
            found.aliases[0] if found.aliases else found.name,
            f'{kinds} · weights: {weights} · {frame.name}',
        )
        save_image(args.out, picture)
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from None
    print(args.out)


if __name__ == '__main__':
    main()
