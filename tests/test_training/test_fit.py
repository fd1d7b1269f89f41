"""The check of a whole estimator accepts whatever MMPose itself trains."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import mmpose
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import BaseLoop
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS, MODELS

from mmpose_lite.training import CheckFitHook

CONFIGS = Path(mmpose.__file__).parent / '.mim/configs/body_2d_keypoint'
# One of each kind of head: what it says its keypoints with, and its config.
KINDS = {
    'dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512': 'num_keypoints',
    'cid/coco/cid_hrnet-w32_8xb20-140e_coco-512x512': 'num_keypoints',
    'rtmo/coco/rtmo-s_8xb32-600e_coco-640x640': 'num_keypoints',
    'yoloxpose/coco/yoloxpose_tiny_4xb64-300e_coco-416': 'num_keypoints',
    'associative_embedding/coco/ae_hrnet-w32_8xb24-300e_coco-512x512': 'num_keypoints',
    'integral_regression/coco/ipr_res50_dsnt-8xb64-210e_coco-256x256': 'num_joints',
    'topdown_regression/coco/td-reg_res50_8xb64-210e_coco-256x192': 'num_joints',
    'simcc/coco/simcc_mobilenetv2_wo-deconv-8xb64-210e_coco-256x192': 'out_channels',
    'rtmpose/coco/rtmpose-t_8xb256-420e_coco-256x192': 'out_channels',
    'topdown_heatmap/coco/td-hm_mspn50_8xb32-210e_coco-256x192': 'out_channels',
    'topdown_heatmap/coco/td-hm-vis_res50_8xb64-210e_coco-aic-256x192-merge': (
        'out_channels'
    ),
    'topdown_heatmap/coco/td-hm_rsn18_8xb32-210e_coco-256x192': 'out_channels',
    'topdown_heatmap/coco/td-hm_vipnas-mbv3_8xb64-210e_coco-256x192': 'out_channels',
    'topdown_heatmap/coco/td-hm_hourglass52_8xb32-210e_coco-256x256': 'out_channels',
    'topdown_heatmap/coco/td-hm_cpm_8xb64-210e_coco-256x192': 'out_channels',
    'topdown_heatmap/coco/td-hm_hrnet-w32_udp-regress-8xb64-210e_coco-256x192': (
        'out_channels'
    ),
}


# Of MMPose's and mmcv's own constructors.
pytestmark = pytest.mark.filterwarnings('ignore')


def built(name, **changes):
    """Estimator without memory for weights, and what its data set says of itself."""
    init_default_scope('mmpose')
    config = Config.fromfile(CONFIGS / f'{name}.py')
    config.merge_from_dict(changes)
    dataset = config.train_dataloader.dataset
    meta = dataset.get('metainfo') or DATASETS.get(dataset.type).METAINFO
    with torch.device('meta'):
        return MODELS.build(config.model), parse_pose_metainfo(dict(meta))


def check(model, metainfo):
    loop = SimpleNamespace(
        dataloader=SimpleNamespace(dataset=SimpleNamespace(metainfo=metainfo))
    )
    runner = SimpleNamespace(model=model, train_loop=loop, val_loop=None)
    CheckFitHook().before_train(runner)


@pytest.mark.parametrize('name', KINDS)
def test_heads_of_mmpose(name):
    model, metainfo = built(name)
    check(model, metainfo)
    other = {**metainfo, 'num_keypoints': metainfo['num_keypoints'] + 1}
    with pytest.raises(ValueError, match=rf'head\.{KINDS[name]} must be .*, got'):
        check(model, other)


def test_networks_of_several_stages_are_tried():
    name = 'topdown_heatmap/coco/td-hm_mspn50_8xb32-210e_coco-256x192'
    model, metainfo = built(name)
    model.head.decoder.heatmap_size = (24, 32)
    with pytest.raises(ValueError, match=r'heatmap_size .* must be \(48, 64\)'):
        check(model, metainfo)


def test_a_head_is_asked_for_what_it_names():
    """EDPose's config needs more than MMPose's wheel; a head may name no number."""
    metainfo = dict(num_keypoints=17, dataset_name='coco')
    for head in (SimpleNamespace(num_keypoints=17), SimpleNamespace()):
        check(SimpleNamespace(head=head), metainfo)
    with pytest.raises(ValueError, match=r"must be 17, .* 'coco', got 16"):
        check(SimpleNamespace(head=SimpleNamespace(num_keypoints=16)), metainfo)


class Trains(BaseLoop):
    """Stands for a loop that was built."""

    def __init__(self):
        pass

    def run(self):
        pass


@pytest.mark.parametrize('change', ['names', 'shape', 'missing', 'none', 'module'])
def test_weights_that_are_only_tested_fill_the_model(change):
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    if change == 'names':
        weights = {f'net.{key}': value for key, value in weights.items()}
    elif change == 'shape':
        weights['0.weight'] = torch.zeros(3, 1, 1, 1)
    elif change == 'missing':
        del weights['0.bias']
    elif change == 'module':
        weights = {f'module.{key}': value for key, value in weights.items()}
    hook = CheckFitHook()
    runner = SimpleNamespace(model=model, cfg=Config(), _train_loop=dict())
    if change in ('none', 'module'):
        hook.after_load_checkpoint(runner, dict(state_dict=weights))
    else:
        with pytest.raises(ValueError, match='do not fit the model'):
            hook.after_load_checkpoint(runner, dict(state_dict=weights))
    # A training may begin with some of the weights.
    runner._train_loop = Trains()
    hook.after_load_checkpoint(runner, dict(state_dict=weights))
