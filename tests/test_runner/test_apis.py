"""MMPose's own helpers on every row: flops, model set-up, inference."""

from __future__ import annotations

import pytest
import torch
from conftest import ROOT
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from mmpose.apis import inference_topdown, init_model
from rows import IDS, ROWS

BASE = ROOT / 'configs/litehrnet/td-hm_litehrnet-18_8xb64-210e_coco-256x192.py'


def row_config(cls, arch):
    """The COCO config with the row's backbone."""
    cfg = Config.fromfile(BASE)
    cfg.model.backbone = dict(type=f'mmpose_lite.{cls.__name__}', arch=arch)
    cfg.model.head.in_channels = cls(arch).arch.channels[-1][0]
    return cfg


@pytest.mark.parametrize(('cls', 'arch'), ROWS, ids=IDS)
def test_init_model_and_inference_topdown(cls, arch, shared):
    model = init_model(row_config(cls, arch), device='cpu')
    image = shared / 'data/coco_sample/000000000785.jpg'
    boxes = [[280.0, 44.0, 500.0, 380.0], [0.0, 0.0, 100.0, 200.0]]
    results = inference_topdown(model, str(image), boxes)
    assert len(results) == 2
    for result in results:
        assert result.pred_instances.keypoints.shape == (1, 17, 2)
        assert torch.from_numpy(result.pred_instances.keypoints).isfinite().all()


@pytest.mark.parametrize(('cls', 'arch'), ROWS, ids=IDS)
def test_get_flops(cls, arch):
    """The way MMPose's ``get_flops`` counts; it also counts element-wise work."""
    from mmpose_lite.analysis import complexity

    model = init_model(row_config(cls, arch), device='cpu')
    expected = complexity(model, (256, 192))
    model.forward = model._forward
    found = get_model_complexity_info(model, (3, 256, 192), show_table=False)
    assert found['params'] == expected.params
    assert expected.macs < found['flops'] < 1.5 * expected.macs
