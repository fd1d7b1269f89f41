"""One model with one file of weights through MMPose's Runner and evaluator."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from zoo.metafiles import DETECTOR, ROOT

from mmpose_lite.checkpoints import read_checkpoint, translate

from .data import Data
from .found import Found

# Published metric → what MMPose's evaluator calls it, and what it is a share of.
METRICS = {
    'COCO': {
        'AP': ('coco/AP', 1),
        'AP@0.5': ('coco/AP .5', 1),
        'AP@0.75': ('coco/AP .75', 1),
        'AR': ('coco/AR', 1),
    },
    'MPII': {'PCKh@0.5': ('PCK', 100), 'PCKh@0.1': ('PCK@0.1', 100)},
}


class Advance(Hook):
    """Reports every batch of a test.

    Args:
        report: Receives the number of people done.
    """

    def __init__(self, report: Callable[[int], None]) -> None:
        self.report = report

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence | None = None,
    ) -> None:
        """After a batch."""
        self.report(len(outputs or ()))


def settings(
    found: Found, data: Data, work_dir: Path, batch_size: int | None, workers: int
) -> Config:
    """The model's config, pointed at the data.

    Args:
        found: Model and file.
        data: Where to test.
        work_dir: For logs; each run needs its own.
        batch_size: People at a time; the config's if not given.
        workers: Processes that load images.
    """
    cfg = Config.fromfile(ROOT / found.model.config)
    boxes = data.boxes_for(found.boxes)
    loader = cfg.test_dataloader
    loader.num_workers = workers
    loader.persistent_workers = workers > 0
    loader.batch_size = batch_size or loader.batch_size
    loader.dataset.update(
        data_root=f'{data.root}/',
        ann_file=data.annotations,
        data_prefix=dict(img=data.images),
        bbox_file=str(data.detections) if boxes == DETECTOR else None,
    )
    if data.name == 'COCO':
        cfg.test_evaluator.ann_file = str(data.root / data.annotations)
    else:
        headboxes = data.root / 'annotations' / 'mpii_gt_val.mat'
        loader.dataset.headbox_file = str(headboxes)
    # MMEngine keeps visualizers by name; one of the run before would do for this one.
    cfg.visualizer.name = str(work_dir)
    _without_pretraining(cfg.model)
    cfg.merge_from_dict(
        dict(work_dir=str(work_dir), log_level='ERROR', load_from=None, resume=False)
    )
    return cfg


def _without_pretraining(part: Any) -> None:
    """Remove weights to begin with: they would be fetched, then overwritten."""
    if isinstance(part, dict):
        if (part.get('init_cfg') or {}).get('type') == 'Pretrained':
            part['init_cfg'] = None
        for value in part.values():
            _without_pretraining(value)


def run(
    cfg: Config,
    found: Found,
    begin: Callable[[int], None],
    report: Callable[[int], None],
) -> tuple[str, dict[str, float]]:
    """Convert if need be, load strictly, test.

    Args:
        cfg: Of :func:`settings`.
        found: Model and file.
        begin: Receives the number of people before the first of them.
        report: Receives the number of people of each batch.

    Returns:
        The layout of the file, and every metric that is ever published, as share of 1.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is none that fits (the message says why).
    """
    checkpoint = read_checkpoint(found.path)
    init_default_scope('mmpose')
    # The evaluator talks to stdout, where the results shall stand.
    with contextlib.redirect_stdout(io.StringIO()):
        runner = Runner.from_cfg(cfg)
        done = translate(checkpoint, runner.model)
        runner.model.load_state_dict(done.state_dict, strict=True)
        begin(len(runner.test_dataloader.dataset))
        runner.register_hook(Advance(report))
        results = runner.test()
    names = METRICS[found.model.data]
    return done.layout.name, {
        metric: float(results[key]) / whole for metric, (key, whole) in names.items()
    }
