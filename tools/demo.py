"""Parts of ``tools/demo.sh`` that need Python: ``init``, then ``report``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import set_random_seed
from mmpose.apis import init_model

from mmpose_lite import explain as vis
from mmpose_lite.analysis import complexity
from mmpose_lite.io.logs import last_metric, seconds_per_step
from mmpose_lite.io.markdown import format_table


def init(config: str, out: str) -> None:
    """Write the weights that training starts from."""
    cfg = Config.fromfile(config)
    set_random_seed(cfg.randomness['seed'])
    # Initialisation logs a line per parameter.
    MMLogger.get_instance('demo', log_level=logging.WARNING)
    model = init_model(cfg, device='cpu')
    model.init_weights()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    torch.save({'state_dict': model.state_dict()}, out)


def report(config: str, checkpoint: str, data: str, work_dir: str) -> None:
    """Draw the grid of held-out images and print the table."""
    model = init_model(config, checkpoint, device='cpu')
    work, root = Path(work_dir), Path(data)
    annotations = root / 'annotations' / 'person_keypoints_val.json'
    images = vis.predict_posed_images(model, annotations, root / 'val', count=8)
    grid = vis.draw_pose_grid(images, model.dataset_meta, columns=2, zoom=1.5)
    vis.save_image(work / 'predictions.png', grid)
    width, height = model.cfg.codec['input_size']
    cost = complexity(model, (height, width))
    rows = {
        'parameters': f'{cost.params:,}',
        f'MACs at {height}x{width}': f'{cost.macs / 1e6:.1f} M',
        'AP before training': f'{last_metric(work / "before", "coco/AP"):.3f}',
        'AP after training': f'{last_metric(work / "after", "coco/AP"):.3f}',
        'seconds per step': f'{seconds_per_step(work / "train"):.3f}',
    }
    print(format_table(rows))


if __name__ == '__main__':
    {'init': init, 'report': report}[sys.argv[1]](*sys.argv[2:])
