"""Training through ``mim train`` with two processes on a CPU."""

from __future__ import annotations

import json

import pytest
import torch
from command_line import GLOO, TWO, mim
from conftest import ROOT

from mmpose_lite.data import generate_toy_coco

pytestmark = pytest.mark.slow

DEMO = next((ROOT / 'configs' / 'demo').glob('*.py'))

# A pipeline without randomness, a small network, and a record of each step's loss and
# of the parameters at the end, one file a process.
CONFIG = """
_base_ = ['{base}']
custom_imports = dict(imports=['mmpose_lite', 'record_steps'])
custom_hooks = [*_base_.custom_hooks, dict(type='RecordSteps', out_dir='{out_dir}')]
train_pipeline = [s for s in _base_.train_pipeline if s['type'] != 'RandomFlip']
train_cfg = dict(max_epochs=1, val_interval=1)
param_scheduler = []
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-3))
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(save_optimizer=True))
model = dict(
    backbone=dict(norm_eval=True, arch=dict(
        _delete_=True, unit='parallel', num_modules=(1, 1),
        channels=((8, 16), (8, 16, 32)), stem_channels=16)),
    head=dict(in_channels=8))
train_dataloader = dict(
    batch_size={batch_size}, num_workers=0, persistent_workers=False,
    dataset=dict(data_root='{data}/', pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root='{data}/'))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='{data}/annotations/person_keypoints_val.json')
test_evaluator = val_evaluator
"""
HOOK = """
import json, os
import torch
from mmengine.hooks import Hook
from mmpose.registry import HOOKS

@HOOKS.register_module(force=True)
class RecordSteps(Hook):
    def __init__(self, out_dir):
        self.path = os.path.join(out_dir, 'rank' + os.environ.get('RANK', '0'))
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(float(outputs['loss']))

    def after_train(self, runner):
        with open(self.path + '.json', 'w') as file:
            json.dump(self.losses, file)
        torch.save(runner.model.state_dict(), self.path + '.pth')
"""


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    out = tmp_path_factory.mktemp('toy')
    generate_toy_coco(out, num_train=40, num_val=8, image_size=(160, 120), seed=3)
    return out


@pytest.fixture
def prepare(toy, tmp_path, monkeypatch):
    """Write a config for a run in ``tmp_path / name``; make its hook importable."""
    (tmp_path / 'record_steps.py').write_text(HOOK)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))

    def write(name, batch_size):
        out_dir = tmp_path / name
        out_dir.mkdir()
        values = dict(base=DEMO, out_dir=out_dir, data=toy, batch_size=batch_size)
        config = tmp_path / f'{name}.py'  # the run writes its own copy into out_dir
        config.write_text(CONFIG.format(**values))
        return config, out_dir

    return write


def losses(out_dir, rank=0):
    return json.loads((out_dir / f'rank{rank}.json').read_text())


def test_two_processes_train_as_one(prepare):
    """With frozen norms, the mean loss of the ranks is that of one process."""
    config, one = prepare('one', batch_size=8)
    mim('train', config, one)
    config, two = prepare('two', batch_size=4)
    log = mim('train', config, two, *TWO, **GLOO)
    assert 'coco/AP' in log  # validation ran too
    single, ranks = losses(one), [losses(two, 0), losses(two, 1)]
    assert min(map(len, (single, *ranks))) >= 10
    assert ranks[0] != ranks[1]
    for step in range(10):
        mean = (ranks[0][step] + ranks[1][step]) / 2
        assert mean == pytest.approx(single[step], rel=1e-5), step
    first, second = (torch.load(two / f'rank{rank}.pth') for rank in (0, 1))
    still = [name for name in first if 'running' in name or 'num_batches' in name]
    assert len(first) - len(still) > 50
    for name in first.keys() - still:
        assert torch.equal(first[name], second[name]), name
