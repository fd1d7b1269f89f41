"""MMPose's own helpers on every row: flops, model set-up, inference."""

from __future__ import annotations

import importlib.util
from argparse import Namespace
from pathlib import Path

import mmpose
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmpose.apis import inference_topdown, init_model
from rows import IDS, ROWS, TINY_IDS, TINY_ROWS

from mmpose_lite.analysis import complexity

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


@pytest.fixture(scope='module')
def get_flops():
    """MMPose's own command line, loaded as a module."""
    path = Path(mmpose.__file__).parent / '.mim/tools/analysis_tools/get_flops.py'
    spec = importlib.util.spec_from_file_location('get_flops', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(('cls', 'arch'), TINY_ROWS, ids=TINY_IDS)
def test_get_flops(cls, arch, get_flops, tmp_path):
    """MMPose counts element-wise work too, so its figure is somewhat larger."""
    config = tmp_path / 'config.py'
    row_config(cls, arch).dump(config)
    expected = complexity(init_model(str(config), device='cpu'), (64, 64))
    arguments = Namespace(
        config=str(config),
        device='cpu',
        cfg_options={},
        batch_size=1,
        show_arch_info=False,
    )
    found = get_flops.inference(arguments, (3, 64, 64), None)
    assert found['params'] == expected.params
    assert expected.macs < found['flops'] < 1.5 * expected.macs
