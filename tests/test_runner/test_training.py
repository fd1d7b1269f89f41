"""Training through ``mim train``: resume, and two processes on a CPU."""

from __future__ import annotations

import json

import pytest
import torch
from command_line import GLOO, TWO, mim
from conftest import ROOT

from mmpose_lite.data import generate_toy_coco
from mmpose_lite.io.logs import read_scalars

pytestmark = pytest.mark.slow

DEMO = next((ROOT / 'configs' / 'demo').glob('*.py'))

# A pipeline without randomness, a small network, and a record of each step's loss and
# of the parameters at the end, one file a process.
CONFIG = """
_base_ = ['{base}']
custom_imports = dict(imports=['mmpose_lite', 'record_steps'])
custom_hooks = [*_base_.custom_hooks, dict(type='RecordSteps', out_dir='{out_dir}')]
train_pipeline = [s for s in _base_.train_pipeline if s['type'] != 'RandomFlip']
train_cfg = dict(max_epochs={epochs}, val_interval={epochs})
param_scheduler = []
optim_wrapper = dict(optimizer=dict(_delete_=True, type='{optimizer}', lr={lr}))
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(save_optimizer=True))
model = dict(
    backbone=dict(norm_eval={norm_eval}, arch=dict(
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

    def write(name, **options):
        out_dir = tmp_path / name
        out_dir.mkdir()
        values = dict(
            base=DEMO,
            out_dir=out_dir,
            data=toy,
            epochs=1,
            batch_size=4,
            norm_eval=False,
            optimizer='Adam',
            lr=1e-3,
        )
        config = tmp_path / f'{name}.py'  # the run writes its own copy into out_dir
        config.write_text(CONFIG.format(**{**values, **options}))
        return config, out_dir

    return write


def losses(out_dir, rank=0):
    return json.loads((out_dir / f'rank{rank}.json').read_text())


def test_resume_goes_on_from_the_same_iteration(prepare):
    config, out_dir = prepare('resume', epochs=4)
    mim('train', config, out_dir, train_cfg__max_epochs=2)
    steps = len(losses(out_dir))
    assert steps >= 10
    log = mim('train', config, out_dir, '--resume')
    assert f'resumed epoch: 2, iter: {steps}' in log
    assert len(losses(out_dir)) == steps
    logged = [line['iter'] for line in read_scalars(out_dir) if 'loss' in line]
    assert logged == list(range(1, 2 * steps + 1))


def test_two_processes_equal_one_with_the_doubled_batch(prepare):
    """With frozen norms, the mean loss of the ranks is that of one process."""
    options = dict(norm_eval=True, epochs=1)
    config, one = prepare('one', batch_size=8, **options)
    mim('train', config, one)
    config, two = prepare('two', batch_size=4, **options)
    log = mim('train', config, two, *TWO, **GLOO)
    assert 'coco/AP' in log  # validation ran too
    single, ranks = losses(one), [losses(two, 0), losses(two, 1)]
    count = min(len(single), len(ranks[0]), 10)
    assert count == 10
    assert ranks[0][:count] != ranks[1][:count]
    for step in range(count):
        mean = (ranks[0][step] + ranks[1][step]) / 2
        assert mean == pytest.approx(single[step], rel=1e-5), step


def test_two_processes_hold_equal_parameters(prepare):
    config, out_dir = prepare('live')
    mim('train', config, out_dir, *TWO, **GLOO)
    first, second = (torch.load(out_dir / f'rank{rank}.pth') for rank in (0, 1))
    assert len(losses(out_dir)) >= 10
    moved = 0
    for name, value in first.items():
        if 'running' not in name and 'num_batches' not in name:
            assert torch.equal(value, second[name]), name
            moved += 1
    assert moved > 50
