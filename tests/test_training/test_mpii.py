"""Training on MPII: what a perfect network learned is judged as perfect."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.evaluation import MpiiPCKAccuracy
from scipy.io import savemat

from mmpose_lite.registry import DATASETS

PEOPLE, JOINTS = 40, 16
CONFIGS = sorted((ROOT / 'configs').glob('*/*_mpii-256x256.py'))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """People whose heads are 20 px high, in files of MPII's form."""
    folder = tmp_path_factory.mktemp('mpii')
    chance = np.random.default_rng(0)
    joints = chance.uniform(50, 400, (PEOPLE, JOINTS, 2))
    people = [
        dict(
            image=f'{index:06d}.jpg', center=[200.0, 220.0], scale=2.0,
            joints=one.tolist(), joints_vis=[1] * JOINTS,
        )
        for index, one in enumerate(joints)
    ]  # fmt: skip
    (folder / 'people.json').write_text(json.dumps(people))
    heads = np.zeros((2, 2, PEOPLE))
    heads[1] = 20 / np.sqrt(2) / 0.6
    savemat(folder / 'heads.mat', {'headboxes_src': heads})
    return folder


def people(kind, folder, **options):
    init_default_scope('mmpose')
    return DATASETS.build(
        dict(
            type=f'mmpose_lite.{kind}', data_root=f'{folder}/', ann_file='people.json',
            data_prefix=dict(img='images/'), pipeline=[], **options,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ('kind', 'score'), [('ZeroBasedMpiiDataset', 100.0), ('MpiiDataset', 0.0)]
)
def test_a_perfect_network_scores_100(folder, kind, score):
    """At 0.05 of a head of 20 px, one pixel right and one down are too much."""
    learned = people(kind, folder)
    truth = people(
        'MpiiDataset', folder, test_mode=True, headbox_file=f'{folder}/heads.mat'
    )
    metric = MpiiPCKAccuracy(thr=0.05)
    for network, one in zip(learned, truth, strict=True):
        metric.process(
            [],
            [
                dict(
                    pred_instances=dict(keypoints=network['keypoints']),
                    gt_instances=dict(
                        keypoints=one['keypoints'],
                        keypoints_visible=one['keypoints_visible'],
                        head_size=one['head_size'],
                    ),
                )
            ],
        )
    assert metric.evaluate(PEOPLE)['PCK'] == pytest.approx(score)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_configs_count_from_0_in_training_only(path):
    config = Config.fromfile(path)
    assert config.train_dataloader.dataset.type == 'mmpose_lite.ZeroBasedMpiiDataset'
    assert config.val_dataloader.dataset.type == 'mmpose_lite.MpiiDataset'
    assert config.test_dataloader.dataset.type == 'mmpose_lite.MpiiDataset'


def test_there_are_sixteen():
    assert len(CONFIGS) == 16
