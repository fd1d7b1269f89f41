"""A search of seconds: tiny space, images drawn from noise, every hook at work."""

from __future__ import annotations

import sys
from itertools import count
from typing import ClassVar

import numpy as np
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from small_run import QuickRunner, loader
from torch.utils.data import Dataset

from mmpose_lite.models.layers import searching

SPACE = dict(
    num_blocks=((1,), (1, 1)),
    channels=((6,), (6, 8)),
    stem_channels=(4, 6),
    head_channels=6,
    expand=2,
    transformer='residual',
    tokens=4,
)
CODEC = dict(type='MSRAHeatmap', input_size=(48, 64), heatmap_size=(12, 16), sigma=1.5)
_NUMBERS = count()


class NoisyPeople(Dataset):
    """Images and heatmaps that draw from NumPy's and torch's generators."""

    metainfo: ClassVar[dict] = {}

    def __len__(self):
        return 8

    def __getitem__(self, index):
        image = torch.randint(256, (3, 64, 48), dtype=torch.uint8)
        image[:, 8 * index % 64] = 255
        heatmaps = torch.zeros(3, 16, 12)
        heatmaps[:, 2 * index, np.random.randint(12)] = 1
        sample = PoseDataSample(
            metainfo=dict(
                input_size=np.array([48, 64]),
                input_center=np.array([24, 32]),
                input_scale=np.array([48, 64]),
            ),
            gt_fields=PixelData(heatmaps=heatmaps),
            gt_instances=InstanceData(
                bboxes=np.array([[0, 0, 48, 64]]), bbox_scores=np.ones(1)
            ),
            gt_instance_labels=InstanceData(keypoint_weights=torch.ones(1, 3)),
        )
        return dict(inputs=image, data_samples=sample)


class MeanScore(BaseMetric):
    """A number that follows from the weights."""

    def process(self, data_batch, data_samples):
        instances = [sample['pred_instances'] for sample in data_samples]
        self.results += [float(i['keypoint_scores'].mean()) for i in instances]

    def compute_metrics(self, results):
        return {'score': np.mean(results)}


def people(train):
    collate = dict(type='pseudo_collate')
    return dict(loader(train), dataset=NoisyPeople(), collate_fn=collate)


def model(arch=None, **resource):
    """Estimator of a supernet, with weights large enough to be seen."""
    init_default_scope('mmpose')
    torch.manual_seed(3)
    built = MODELS.build(model_cfg(arch, **resource))
    built.init_weights()
    for _, block in built.backbone.named_blocks():
        for op in block.ops:
            torch.nn.init.uniform_(op.importance, 0.05, 1)
    return built


def estimator_cfg(backbone, in_channels, **more):
    """An estimator for the people above; ``more`` are further options of it."""
    head = dict(
        type='HeatmapHead',
        in_channels=in_channels,
        out_channels=3,
        deconv_out_channels=None,
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=CODEC,
    )
    return dict(
        dict(type='TopdownPoseEstimator', backbone=backbone, head=head),
        data_preprocessor=dict(type='PoseDataPreprocessor', mean=[127.0], std=[60.0]),
        test_cfg=dict(flip_test=False),
        **more,
    )


def model_cfg(arch=None, **resource):
    init = dict(type='Kaiming', layer='Conv2d')
    backbone = dict(type='HRNASNet', arch=arch, space=SPACE, init_cfg=init)
    resource = {'input_size': (48, 64), **resource}
    estimator = estimator_cfg(backbone, 6, resource=resource)
    return dict(estimator, type='SearchablePoseEstimator')


def runner(work_dir, target=0.5, epochs=4, hooks=(), shrink=(), penalty=(), **more):
    """A search of four epochs of two steps, for a share of the supernet's MACs."""
    goal = None if target is None else dict(macs=target * model().full_cost)
    arguments = dict(
        model=model(target=goal),
        work_dir=str(work_dir),
        train_dataloader=people(True),
        val_dataloader=people(False),
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        val_cfg=dict(),
        val_evaluator=Evaluator(MeanScore()),
        # One group per parameter, as every config with paramwise_cfg has.
        optim_wrapper=dict(
            optimizer=dict(type='Adam', lr=0.01, weight_decay=1e-4),
            paramwise_cfg=dict(norm_decay_mult=0),
        ),
        param_scheduler=dict(type='StepLR', step_size=2),
        default_hooks=dict(
            checkpoint=dict(type='mmpose_lite.AtomicCheckpointHook', max_keep_ckpts=2)
        ),
        custom_hooks=[
            dict(type='mmpose_lite.EpochSeedHook'),
            dict(type='mmpose_lite.PenaltyHook', weight=1e-3, end=1) | dict(penalty),
            dict(type='mmpose_lite.ShrinkHook', interval=1, end=3) | dict(shrink),
            dict(
                type='EMAHook',
                ema_type='mmpose_lite.RampedAverage',
                update_buffers=True,
            ),
            dict(type='mmpose_lite.BNRecalibrationHook', batches=2, batch_size=4),
            *hooks,
        ],
        randomness=dict(seed=5),
        log_level='WARNING',
        default_scope='mmpose',
        experiment_name=f'search{next(_NUMBERS)}',  # mmengine keeps logs by it
    )
    return QuickRunner(**{**arguments, **more})


def search(work_dir, **options):
    """Search, or go on searching; every cut of a block is a moment to die at."""
    original = searching.SearchingBlock.cut

    def cut(block, *masks):
        sys.audit('run.step', 'cut')
        return original(block, *masks)

    searching.SearchingBlock.cut = cut
    try:
        running = runner(work_dir, resume=True, **options)
        running.train()
    finally:
        searching.SearchingBlock.cut = original
    return running
