"""Two processes search as one: same architecture, same parameters, at every step."""

from __future__ import annotations

import json
import os

import pytest
from command_line import GLOO, TWO, mim
from conftest import ROOT

from mmpose_lite.data import generate_toy_coco

pytestmark = pytest.mark.slow

SEARCH = ROOT / 'configs/hrnas/td-hm_hrnas-mini_1xb16-6e_toy-128x96.py'
CONFIG = """
_base_ = ['{base}']
custom_imports = dict(imports=['mmpose_lite', 'record_search'])
max_epochs = 3
train_cfg = dict(max_epochs=3, val_interval=3)
param_scheduler = []
default_hooks = dict(logger=dict(interval=1))
train_pipeline = [s for s in _base_.train_pipeline if s['type'] != 'RandomFlip']
custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(type='mmpose_lite.EpochSeedHook'),
    dict(type='mmpose_lite.PenaltyHook', weight=1e-3, begin=0, end=1),
    dict(type='mmpose_lite.ShrinkHook', interval=1, end=2),
    dict(type='EMAHook', ema_type='mmpose_lite.RampedAverage', update_buffers=True),
    dict(type='mmpose_lite.BNRecalibrationHook', batches=2, batch_size=4),
    dict(type='RecordSearch', out_dir='{out_dir}'),
]
model = dict(
    resource=dict(target=dict(macs=30e6)),
    backbone=dict(norm_eval={norm_eval}, space='mini', channels_last=False),
)
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
import hashlib, json, os
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmpose.registry import HOOKS

@HOOKS.register_module(force=True)
class RecordSearch(Hook):
    priority = 'LOWEST'

    def __init__(self, out_dir):
        rank = os.environ.get('RANK', '0')
        self.path = os.path.join(out_dir, f'rank{rank}.json')
        self.steps = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        digest = hashlib.sha256()
        for parameter in model.parameters():
            digest.update(parameter.detach().numpy().tobytes())
        self.steps.append(dict(
            loss=float(outputs['loss']),
            digest=digest.hexdigest(),
            arch=model.describe()['blocks'],
        ))

    def after_train(self, runner):
        with open(self.path, 'w') as file:
            json.dump(self.steps, file)
"""


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    out = tmp_path_factory.mktemp('toy')
    generate_toy_coco(out, num_train=16, num_val=4, image_size=(160, 120), seed=3)
    return out


@pytest.fixture
def search(toy, tmp_path, monkeypatch):
    """Search in ``tmp_path / name``; returns what each rank recorded."""
    (tmp_path / 'record_search.py').write_text(HOOK)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=os.pathsep)

    def run(name, *args, ranks=1, batch_size=4, norm_eval=False, **options):
        out_dir = tmp_path / name
        out_dir.mkdir()
        config = tmp_path / f'{name}.py'  # the run writes its own copy into out_dir
        config.write_text(
            CONFIG.format(
                base=SEARCH,
                out_dir=out_dir,
                data=toy,
                batch_size=batch_size,
                norm_eval=norm_eval,
            )
        )
        log = mim('train', config, out_dir, *args, **options)
        assert 'coco/AP' in log  # validation ran too
        files = [out_dir / f'rank{rank}.json' for rank in range(ranks)]
        return [json.loads(file.read_text()) for file in files]

    return run


def test_ranks_agree_at_every_step(search):
    first, second = search('two', *TWO, ranks=2, **GLOO)
    assert len(first) == len(second) >= 12
    for one, other in zip(first, second, strict=True):
        assert one['digest'] == other['digest']
        assert one['arch'] == other['arch']
    assert len({json.dumps(step['arch']) for step in first}) == 3  # two shrinks
    assert len({step['digest'] for step in first}) == len(first)


def test_two_processes_equal_one_with_the_doubled_batch(search):
    """With frozen norms and nothing random, through the shrinks."""
    (single,) = search('one', batch_size=8, norm_eval=True)
    ranks = search('two', *TWO, ranks=2, norm_eval=True, **GLOO)
    assert len(single) == len(ranks[0]) >= 6
    assert [step['arch'] for step in single] == [step['arch'] for step in ranks[0]]
    for step, whole in enumerate(single):
        mean = (ranks[0][step]['loss'] + ranks[1][step]['loss']) / 2
        assert mean == pytest.approx(whole['loss'], rel=1e-5), step
