# Network found by a search with HR-NAS, written by tools/export_arch.py.
#
# search   td-hm_hrnas-mini_1xb32-8e_lspet-128x96: averaged weights of epoch_8.pth
# trained  8 epochs, 600 iterations, seed 0, saved 2026-11-22 05:15:37
# data     Leeds Sports Pose Extended, annotations/lspet_train.json
# budget   macs = 2e+07
# network  0.020 GMACs, 0.096 M parameters at 128x96 (H x W)
#          of 0.094 GMACs, 0.219 M parameters of the supernet
#
# Training starts from scratch. docs/search.md compares it with the supernet thinned
# uniformly; tools/search_demo.py repeats search and comparison.
_base_ = ['mmpose::_base_/default_runtime.py']
custom_imports = dict(imports=['mmpose_lite'], allow_failed_imports=False)

randomness = dict(seed=0)
train_cfg = dict(max_epochs=8, val_interval=2)
optim_wrapper = dict(
    optimizer=dict(type='Adam', lr=0.003, weight_decay=1e-08),
    paramwise_cfg=dict(bias_decay_mult=0, norm_decay_mult=0),
)
param_scheduler = [
    dict(type='LinearLR', begin=0, by_epoch=False, end=30, start_factor=0.1),
    dict(
        type='CosineAnnealingLR',
        T_max=8,
        begin=0,
        by_epoch=True,
        convert_to_iter_based=True,
        end=8,
        eta_min=3e-05,
    ),
]
default_hooks = dict(
    checkpoint=dict(
        type='mmpose_lite.AtomicCheckpointHook',
        interval=1,
        max_keep_ckpts=2,
        rule='greater',
        save_best='PCK',
    ),
    logger=dict(interval=15),
)
custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(type='mmpose_lite.CheckFitHook'),
    dict(type='mmpose_lite.DataGuardHook'),
    dict(type='mmpose_lite.EpochSeedHook'),
]

codec = dict(
    type='MSRAHeatmap',
    heatmap_size=(24, 32),
    input_size=(96, 128),
    sigma=1.5,
)

model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        bgr_to_rgb=True,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='mmpose_lite.HRNASNet',
        channels_last=True,
        space=dict(
            num_blocks=((1,), (1, 1), (1, 1, 1)),
            channels=((12,), (8, 16), (8, 16, 32)),
            stem_channels=(8, 12),
            head_channels=16,
            expand=4,
            kernels=(3, 5, 7),
            transformer=None,
            tokens=16,
        ),
        arch=[
            [12, 1, 1, [3, 5, 7], [45, 38, 20], True, 0],
            [12, 1, 1, [3, 5, 7], [34, 19, 3], True, 0],
            [8, 1, 1, [3, 5, 7], [40, 27, 15], True, 0],
            [16, 1, 2, [3, 5, 7], [29, 31, 27], True, 0],
            [8, 1, 1, [3], [8], True, 0],
            [16, 1, 1, [3, 5, 7], [50, 49, 51], True, 0],
            [8, 1, 1, [3], [3], True, 0],
            [8, 1, 1, [3, 5, 7], [12, 17, 12], True, 0],
            [16, 1, 2, [3, 5, 7], [12, 12, 13], True, 0],
            [16, 1, 1, [3, 5, 7], [39, 43, 44], True, 0],
            [32, 1, 2, [3, 5, 7], [61, 64, 64], True, 0],
            [8, 1, 1, [3], [3], True, 0],
            [16, 1, 1, [3, 5, 7], [17, 26, 32], True, 0],
            [32, 1, 1, [3, 5, 7], [97, 123, 125], True, 0],
            [16, 1, 1, [3, 5, 7], [7, 7, 1], True, 0],
        ],
    ),
    head=dict(
        type='HeatmapHead',
        decoder=codec,
        deconv_out_channels=None,
        in_channels=16,
        loss=dict(type='KeypointMSELoss', loss_weight=1000.0, use_target_weight=True),
        out_channels=14,
    ),
    test_cfg=dict(flip_test=False),
)

data_root = 'data/lspet/'
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPoseInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='AicDataset',
        ann_file='annotations/lspet_train.json',
        data_mode='topdown',
        data_prefix=dict(img='train/'),
        data_root=data_root,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    drop_last=False,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', round_up=False, shuffle=False),
    dataset=dict(
        type='AicDataset',
        ann_file='annotations/lspet_val.json',
        data_mode='topdown',
        data_prefix=dict(img='val/'),
        data_root=data_root,
        test_mode=True,
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='PCKAccuracy', thr=0.1), dict(type='CocoMetric')]
test_evaluator = val_evaluator
