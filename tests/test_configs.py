"""Every file of ``configs/`` is a test case by existing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, KEYPOINT_CODECS, METRICS, MODELS, TRANSFORMS

CONFIGS = sorted(
    path
    for path in (ROOT / 'configs').rglob('*.py')
    if not path.parent.name.startswith('_')
)
every_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
LIGHT = [
    path
    for path in CONFIGS
    if '210e' in path.stem and path.parent.name in ('litehrnet', 'xhrnet')
]


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpose')


def size_in_name(path: Path) -> tuple[int, int]:
    """(H, W) as the file name says."""
    return tuple(int(n) for n in re.search(r'-(\d+)x(\d+)$', path.stem).groups())


@every_config
def test_config_is_consistent_with_its_name(path):
    cfg = Config.fromfile(path)
    height, width = size_in_name(path)
    assert tuple(cfg.codec.input_size) == (width, height)
    assert tuple(cfg.codec.heatmap_size) == (width // 4, height // 4)
    assert cfg.model.head.decoder == {k: v for k, v in cfg.codec.items() if k[0] != '_'}
    for pipeline in (
        cfg.train_dataloader.dataset.pipeline,
        cfg.val_dataloader.dataset.pipeline,
        cfg.test_dataloader.dataset.pipeline,
    ):
        for step in pipeline:
            if step.type == 'TopdownAffine':
                assert tuple(step.input_size) == (width, height)
                udp = cfg.codec.type == 'UDPHeatmap'
                assert step.get('use_udp', False) == udp
                assert cfg.model.test_cfg.get('shift_heatmap', False) != udp or (
                    not cfg.model.test_cfg.flip_test
                )
            elif step.type == 'GenerateTarget':
                assert step.encoder.type == cfg.codec.type
                assert step.encoder.input_size == cfg.codec.input_size
                assert step.encoder.sigma == cfg.codec.sigma
    batch = re.search(r'_\d+xb(\d+)-(\d+)e_', path.stem)
    if batch:
        assert cfg.train_dataloader.batch_size == int(batch[1])
        assert cfg.train_cfg.max_epochs == int(batch[2])
    assert cfg.custom_imports.imports == ['mmpose_lite']


@every_config
def test_config_builds_and_predicts(path):
    """Model, data pipeline and evaluator build; training and prediction run."""
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model)
    KEYPOINT_CODECS.build(cfg.codec)
    for step in cfg.train_dataloader.dataset.pipeline:
        TRANSFORMS.build(step)
    evaluators = cfg.val_evaluator
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        METRICS.get(evaluator['type'])
    dataset = DATASETS.get(cfg.train_dataloader.dataset.type)
    num_keypoints = cfg.model.head.out_channels
    assert dataset is not None
    height, width = size_in_name(path)
    with torch.no_grad():
        heatmaps = model.eval()(torch.zeros(1, 3, height, width), None)
    assert heatmaps.shape == (1, num_keypoints, height // 4, width // 4)


@pytest.mark.parametrize('path', LIGHT, ids=lambda path: path.stem)
def test_published_recipe(path):
    """The light families' official recipe, as far as the base could have another."""
    cfg = Config.fromfile(path)
    assert cfg.optim_wrapper.optimizer.type == 'Adam'
    assert cfg.optim_wrapper.optimizer.lr == 2e-3
    assert set(cfg.optim_wrapper.optimizer) <= {'type', 'lr', '_scope_'}
    warmup, steps = cfg.param_scheduler
    assert (warmup.start_factor, warmup.end, warmup.by_epoch) == (0.001, 500, False)
    assert (list(steps.milestones), steps.gamma) == ([170, 200], 0.1)
    mpii = 'mpii' in path.stem
    assert cfg.train_cfg.val_interval == (5 if mpii else 10)
    assert cfg.codec.sigma == {384: 3, 256: 2, 128: 1}[size_in_name(path)[0]]
    assert 'init_cfg' not in cfg.model.backbone
    steps = {s.type: s for s in cfg.train_dataloader.dataset.pipeline}
    assert steps['RandomBBoxTransform'].rotate_factor == 60
    assert tuple(steps['RandomBBoxTransform'].scale_factor) == (0.75, 1.25)
    assert ('RandomHalfBody' in steps) != mpii
    if mpii:
        assert steps['RandomBBoxTransform'].shift_prob == 0
    else:
        assert 'AP_H_56' in cfg.test_dataloader.dataset.bbox_file
        assert 'AP_H_56' in cfg.val_dataloader.dataset.bbox_file
    assert cfg.model.head.loss.use_target_weight
    assert cfg.model.test_cfg.flip_test


def test_a_bare_name_finds_one_config():
    """File stems are unique, so that a bare name finds one config."""
    stems = [path.stem for path in CONFIGS]
    assert len(stems) == len(set(stems))
