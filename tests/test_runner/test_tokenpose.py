"""TokenPose on real images through MMPose's scripts of training and testing."""

from __future__ import annotations

import pytest
import torch
from command_line import dataset_options, mmpose_script
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from mmpose_lite.io.logs import last_metric, read_scalars

CONFIGS = ROOT / 'configs' / 'tokenpose'
MPII = 'td-hm_tokenpose-s-v1{}_udp-5xb16-300e_mpii-256x256.py'
COCO = 'td-hm_tokenpose-s-v1-token_udp-4xb32-300e_coco-256x192.py'

pytestmark = pytest.mark.slow


def fresh_weights(config, path):
    """A checkpoint of the config's network as training begins with it."""
    init_default_scope('mmpose')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(config).model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), path)
    return '--checkpoint', str(path)


def assert_loaded_as_they_are(log):
    assert 'Load checkpoint from' in log
    assert 'do not match exactly' not in log


def test_mpii_through_pckh(shared, tmp_path):
    root = shared / 'data' / 'mpii_mini'
    config = CONFIGS / MPII.format('')
    options = dataset_options(
        'test', root, headbox_file=root / 'annotations/mpii_gt_val.mat'
    )
    weights = fresh_weights(config, tmp_path / 'fresh.pth')
    log = mmpose_script('test', config, tmp_path / 'work', *weights, **options)
    assert_loaded_as_they_are(log)
    for metric in ('PCK', 'PCK@0.1', 'Head PCK', 'Hip PCK'):
        assert 0 <= last_metric(tmp_path / 'work', metric) <= 100


def test_coco_with_true_boxes(shared, tmp_path):
    root = shared / 'data' / 'coco_mini'
    annotations = 'annotations/person_keypoints_val2017.json'
    config = CONFIGS / COCO
    weights = fresh_weights(config, tmp_path / 'fresh.pth')
    options = dataset_options('test', root, ann_file=annotations, bbox_file='None')
    log = mmpose_script(
        'test',
        config,
        tmp_path / 'work',
        *weights,
        **options,
        test_evaluator__ann_file=root / annotations,
    )
    assert_loaded_as_they_are(log)
    # 68 persons in batches of 32.
    assert 'Epoch(test) [3/3]' in log
    assert 0 <= last_metric(tmp_path / 'work', 'coco/AP') <= 1


def test_sparse_training_resumes(shared, tmp_path):
    """Two epochs of three steps; validation after each."""
    root = shared / 'data' / 'mpii_mini'
    config = CONFIGS / MPII.format('-sparse')
    options = {
        **dataset_options('train', root, ann_file='annotations/mpii_val.json'),
        **dataset_options('val', root),
        'randomness__seed': 0,
        'train_dataloader__batch_size': 2,
        'val_dataloader__dataset__headbox_file': root / 'annotations/mpii_gt_val.mat',
        'train_cfg__val_interval': 1,
        'default_hooks__checkpoint__interval': 1,
        'default_hooks__logger__interval': 1,
    }
    mmpose_script('train', config, tmp_path, **options, train_cfg__max_epochs=1)
    log = mmpose_script(
        'train', config, tmp_path, '--resume', **options, train_cfg__max_epochs=2
    )
    assert 'resumed epoch: 1, iter: 3' in log
    logged = read_scalars(tmp_path)
    losses = {line['step']: line['loss'] for line in logged if 'loss' in line}
    assert list(losses) == [1, 2, 3, 4, 5, 6]
    assert all(0 < loss < 1 for loss in losses.values())
    assert losses[6] < losses[1]
    assert [line['step'] for line in logged if 'PCK' in line] == [1, 2]
    first, second = (
        torch.load(tmp_path / f'epoch_{n}.pth', weights_only=False)['state_dict']
        for n in (1, 2)
    )
    assert first.keys() == second.keys()
    still = [name for name in first if torch.equal(first[name], second[name])]
    assert still == []
