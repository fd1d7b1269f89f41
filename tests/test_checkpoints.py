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
from rows import IDS, ROWS

from mmpose_lite.models.backbones import LiteHRNet

BASE = ROOT / 'configs/litehrnet/td-hm_litehrnet-18_8xb64-210e_coco-256x192.py'


def build_estimator(cls, arch):
    """MMPose's estimator around a row's backbone."""
    init_default_scope('mmpose')
    cfg = Config.fromfile(BASE).model
    cfg.backbone = dict(type=f'mmpose_lite.{cls.__name__}', arch=arch)
    cfg.head.in_channels = cls(arch).arch.channels[-1][0]
    return MODELS.build(cfg).eval()


@pytest.mark.parametrize('head', ['keypoint_head', 'head'])
@pytest.mark.parametrize(('cls', 'arch'), ROWS, ids=IDS)
def test_official_and_mmpose_naming(tmp_path, cls, arch, head):
    """MMPose 0.x calls the head ``keypoint_head``, 1.x ``head``."""
    published = build_pose_net(cls, arch, 17)
    fill_from(published, own_fill)
    state = {
        key.replace('keypoint_head.', f'{head}.'): value
        for key, value in published.state_dict().items()
    }
    path = tmp_path / 'published.pth'
    torch.save(dict(meta=dict(epoch=210, CLASSES=('person',)), state_dict=state), path)
    estimator = build_estimator(cls, arch)
    load_checkpoint(estimator, str(path), map_location='cpu', strict=True)
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = published.eval()(image)
        torch.testing.assert_close(estimator(image, None), expected, rtol=0, atol=0)


def test_unknown_and_missing_keys_are_refused(tmp_path):
    estimator = build_estimator(*ROWS[0])
    state = estimator.state_dict()
    state['backbone.stem.conv9.weight'] = state.pop('backbone.stem.conv1.conv.weight')
    path = tmp_path / 'other.pth'
    torch.save(dict(state_dict=state), path)
    with pytest.raises(RuntimeError, match=r'(?s)unexpected.*conv9.*missing.*conv1'):
        load_checkpoint(estimator, str(path), map_location='cpu', strict=True)


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
