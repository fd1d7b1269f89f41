"""Published checkpoints load strictly, as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmpose.registry import MODELS
from parity import build_pose_net, fill_from, own_fill
from rows import IDS, ROWS, TABLES

from mmpose_lite.checkpoints import convert, read_checkpoint, translate
from mmpose_lite.models.backbones import LiteHRNet, XHRNet

BASE = ROOT / 'configs/litehrnet/td-hm_litehrnet-18_8xb64-210e_coco-256x192.py'


def build_estimator(cls, arch):
    """MMPose's estimator around a row's backbone."""
    init_default_scope('mmpose')
    cfg = Config.fromfile(BASE).model
    cfg.backbone = dict(type=f'mmpose_lite.{cls.__name__}', arch=arch)
    cfg.head.in_channels = TABLES[cls][arch].channels[-1][0]
    return MODELS.build(cfg).eval()


@pytest.mark.parametrize(('cls', 'arch'), ROWS, ids=IDS)
def test_official_and_mmpose_naming(tmp_path, cls, arch):
    """MMPose 0.x calls the head ``keypoint_head``, 1.x ``head``."""
    published = build_pose_net(cls, arch, 17).eval()
    fill_from(published, own_fill)
    estimator, path = build_estimator(cls, arch), tmp_path / 'published.pth'
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = published(image)
    for head, layout in (('keypoint_head', 'MMPose 0.x'), ('head', 'mmpose_lite')):
        state = {
            key.replace('keypoint_head.', f'{head}.'): value
            for key, value in published.state_dict().items()
        }
        meta = dict(epoch=210, CLASSES=('person',))
        torch.save(dict(meta=meta, state_dict=state), path)
        for parameter in estimator.parameters():
            parameter.data.zero_()
        load_checkpoint(estimator, str(path), map_location='cpu', strict=True)
        done = translate(read_checkpoint(path), estimator)
        assert done.layout.name.startswith(layout)
        assert done.state_dict.keys() == estimator.state_dict().keys()
        with torch.no_grad():
            found = estimator(image, None)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_position_weights_of_another_length_convert():
    """XHRNet crops or pads them while it loads; the converter must not refuse them."""
    smaller = build_estimator(XHRNet, 's18')
    cfg = Config.fromfile(BASE).model
    cfg.backbone = dict(type='XHRNet', arch='s18', max_size=(128, 96))
    larger = MODELS.build(cfg)
    weights = smaller.state_dict()
    converted = convert(weights, larger)
    larger.load_state_dict(converted, strict=True)
    key = next(key for key in weights if key.endswith('group_weight'))
    assert converted[key] is weights[key]
    assert larger.state_dict()[key].shape != weights[key].shape


@pytest.mark.parametrize('size', ['256_192', '128_96'])
def test_real_weights_give_the_original_heatmaps(shared, size):
    """PP-TinyPose's weights against outputs of the original framework."""
    estimator = build_estimator(LiteHRNet, 'wider-naive-18')
    weights = shared / f'weights/wider_naive_litehrnet18_tinypose_{size}.pth'
    load_checkpoint(estimator, str(weights), map_location='cpu', strict=True)
    original = np.load(shared / f'weights/ov_{size}_io.npz')
    with torch.no_grad():
        heatmaps = estimator(torch.from_numpy(original['x']), None).numpy()
    assert np.abs(heatmaps - original['y']).max() < 1e-4
