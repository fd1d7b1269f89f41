"""From nothing to a trained pose model: toy people, training, evaluation, a picture.

What a user would type, one after the other; training and testing are those of ``mim``.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import set_random_seed

from .analysis import complexity
from .data import generate_toy_coco
from .explain import draw_pose_grid, predict_posed_images
from .io.images import save_image
from .io.logs import last_metric, seconds_per_step
from .loading import build_model, load_model, read_config
from .mim import run_mim
from .paths import config_path

CONFIG = 'td-hm_xhrnet-toy_1xb16-2e_toy-128x96'
_LOADERS = ('train', 'val', 'test')
_SHOWN = re.compile(r'Epoch\((?:train|val)\) .*|.*Error.*')


def demonstrate(
    out: str | os.PathLike[str] = 'work_dirs/demo',
    data: str | os.PathLike[str] = 'data/toy',
    *,
    train: int = 2800,
    val: int = 240,
    options: Iterable[str] = (),
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[dict[str, str], Path]:
    """Draw toy people, train an X-HRNet on them, evaluate before and after, draw.

    Args:
        out: Folder of runs, logs and the picture.
        options: More ``'key=value'`` settings for mim's ``--cfg-options``.
        tell: Called with every line of progress.

    Returns:
        What was measured, in order, and the path of a picture of held-out images.

    Raises:
        RuntimeError: If training or testing fails (the message names its log).
    """
    out, data = Path(out).absolute(), Path(data).absolute()
    out.mkdir(parents=True, exist_ok=True)
    config, begun = config_path(CONFIG), time.monotonic()
    held_out = data / 'annotations' / 'person_keypoints_val.json'
    settings = [
        *(f'{name}_dataloader.dataset.data_root={data}/' for name in _LOADERS),
        *(f'{name}_evaluator.ann_file={held_out}' for name in _LOADERS[1:]),
        *options,
    ]

    def step(number: int, title: str) -> None:
        tell(f'\n== {number}/5 {title} ({time.monotonic() - begun:.0f} s)')

    def evaluate(weights: Path, name: str) -> None:
        words = ('--checkpoint', str(weights))
        run_mim('test', config, out / name, *words, options=settings)

    def tell_progress(line: str) -> None:
        if shown := _SHOWN.search(line):
            tell(shown[0])

    step(1, 'toy people')
    generate_toy_coco(data, train, val)
    step(2, 'evaluation of the initial weights')
    cfg = read_config(config)
    set_random_seed(cfg.randomness['seed'])
    model: Any = build_model(cfg)
    model.init_weights()
    initial = out / 'initial.pth'
    torch.save({'state_dict': model.state_dict()}, initial)
    evaluate(initial, 'before')
    step(3, 'training')
    last = out / 'train' / 'last_checkpoint'
    last.unlink(missing_ok=True)
    # Step 4 evaluates.
    more = [f'load_from={initial}', 'train_cfg.val_begin=1000000', *settings]
    run_mim('train', config, out / 'train', options=more, tell=tell_progress)
    step(4, 'evaluation of the trained weights')
    trained = Path(last.read_text())
    evaluate(trained, 'after')
    step(5, 'table and picture')
    model = load_model(config, trained)
    images = predict_posed_images(model, held_out, data / 'val', count=8)
    picture = out / 'predictions.png'
    save_image(picture, draw_pose_grid(images, model.dataset_meta, columns=2, zoom=1.5))
    width, height = model.cfg.codec['input_size']
    cost = complexity(model, (height, width))
    rows = {
        'parameters': f'{cost.params:,}',
        f'MACs at {height}x{width}': f'{cost.macs / 1e6:.1f} M',
        'AP before training': f'{last_metric(out / "before", "coco/AP"):.3f}',
        'AP after training': f'{last_metric(out / "after", "coco/AP"):.3f}',
        'seconds per step': f'{seconds_per_step(out / "train"):.3f}',
        'seconds in all': f'{time.monotonic() - begun:.0f}',
    }
    return rows, picture
