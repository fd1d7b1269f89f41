"""A LiteHRNet trained with ``mim train``, killed from outside at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress

import pytest
import torch
from command_line import GLOO, TWO, mim, start_mim
from conftest import ROOT
from killing import STATE, assert_same
from rows import TINY

from mmpose_lite.data import generate_toy_coco

pytestmark = pytest.mark.slow(minutes=2)

DEMO = next((ROOT / 'configs' / 'demo').glob('*.py'))
CONFIG = """
_base_ = ['{base}']
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(
        type='mmpose_lite.AtomicCheckpointHook', interval=1, max_keep_ckpts=2,
        save_best='coco/AP', rule='greater', save_optimizer=True))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='mmpose_lite.EpochSeedHook'),
    dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.01),
]
train_cfg = dict(max_epochs=4, val_interval=1)
model = dict(
    backbone=dict(
        type='mmpose_lite.LiteHRNet', arch=dict(_delete_=True, unit='ccw', **{tiny})),
    head=dict(in_channels=8))
random = [dict(type='RandomHalfBody'), dict(type='RandomBBoxTransform')]
train_pipeline = [*_base_.train_pipeline[:2], *random, *_base_.train_pipeline[2:]]
workers = dict(num_workers={workers}, persistent_workers={workers} > 0)
train_dataloader = dict(
    batch_size=8 // {processes}, **workers,
    dataset=dict(data_root='{data}/', pipeline=train_pipeline))
val_dataloader = dict(**workers, dataset=dict(data_root='{data}/'))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='{data}/annotations/person_keypoints_val.json')
test_evaluator = val_evaluator
"""


def logged(work_dir):
    """Lines that all runs into ``work_dir`` have logged; the last may be cut off."""
    files = work_dir.glob('*/vis_data/scalars.json')
    return sum(file.read_bytes().count(b'\n') for file in files)


def family(pid):
    """A process and all that descend from it, parents first."""
    words = ['ps', '-o', 'pid=', '--ppid', str(pid)]
    found = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    return [pid, *(one for child in found.split() for one in family(int(child)))]


def killed(config, work_dir, lines, seconds, words, options):
    """Start or resume a run; kill all its processes some time after some lines.

    Returns:
        Whether it lasted so long.
    """
    run = start_mim(
        *('train', config, work_dir, '--resume', *words),
        out=subprocess.DEVNULL,
        **options,
    )
    lines += logged(work_dir)
    while run.poll() is None and logged(work_dir) < lines:
        time.sleep(0.02)
    with suppress(subprocess.TimeoutExpired):
        run.wait(seconds)
        return False
    # The launcher gives each rank a session of its own.
    for pid in reversed(family(run.pid)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    run.wait()
    return True


@pytest.mark.parametrize(
    ('workers', 'processes'), [(0, 1), (2, 1), (0, 2)], ids=['plain', 'workers', 'ddp']
)
def test_killed_training_ends_as_an_undisturbed_one(tmp_path, workers, processes):
    data = tmp_path / 'data'
    generate_toy_coco(data, num_train=24, num_val=6, image_size=(160, 120), seed=3)
    config, given = tmp_path / 'config.py', dict(workers=workers, processes=processes)
    config.write_text(CONFIG.format(base=DEMO, tiny=TINY, data=data, **given))
    one, two = tmp_path / 'one', tmp_path / 'two'
    words, options = ([], {}) if processes == 1 else (TWO, GLOO)
    mim('train', config, one, *words, **options)
    rng, kills = random.Random(10 * workers + processes), 0
    # An epoch logs four lines; a run that is killed after fewer is done over again.
    for lines in (0, 1, 4, 5, 3):
        kills += killed(config, two, lines, rng.uniform(0, 0.5), words, options)
        for path in two.glob('*.pth'):
            torch.load(path)
    assert kills >= 4
    mim('train', config, two, '--resume', *words, **options)
    files = sorted(path.name for path in one.glob('*.pth'))
    assert files == sorted(path.name for path in two.glob('*.pth'))
    assert not list(two.glob('.*'))
    for name in files:
        first, second = torch.load(one / name), torch.load(two / name)
        for key in STATE:
            assert_same(first.get(key), second.get(key), f'{name}[{key!r}]')
