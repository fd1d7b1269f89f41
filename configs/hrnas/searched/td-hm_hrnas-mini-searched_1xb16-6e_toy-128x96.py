# Network found by a search with HR-NAS, written by tools/export_arch.py.
#
# search   td-hm_hrnas-mini_1xb16-6e_toy-128x96: averaged weights of epoch_6.pth
# trained  6 epochs, 576 iterations, seed 0, saved 2026-11-22 05:41:55
# data     toy people: 800 images drawn for training, 150 held out
# budget   macs = 2e+07
# network  0.020 GMACs, 0.087 M parameters at 128x96 (H x W)
#          of 0.094 GMACs, 0.219 M parameters of the supernet
#
# Training starts from scratch. docs/search.md compares it with the supernet thinned
# uniformly; tools/search_demo.py repeats search and comparison.
_base_ = ['mmpose::_base_/default_runtime.py']
custom_imports = dict(imports=['mmpose_lite'], allow_failed_imports=False)

randomness = dict(seed=0)
train_cfg = dict(max_epochs=6, val_interval=3)
optim_wrapper = dict(
    optimizer=dict(type='Adam', lr=0.003, weight_decay=1e-08),
    paramwise_cfg=dict(bias_decay_mult=0, norm_decay_mult=0),
)
param_scheduler = [
    dict(type='LinearLR', begin=0, by_epoch=False, end=30, start_factor=0.1),
    dict(
        type='CosineAnnealingLR',
        T_max=6,
        begin=0,
        by_epoch=True,
        convert_to_iter_based=True,
        end=6,
        eta_min=3e-05,
    ),
]
default_hooks = dict(
    checkpoint=dict(
        type='mmpose_lite.AtomicCheckpointHook',
        interval=1,
        max_keep_ckpts=2,
    ),
    logger=dict(interval=25),
)
custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(type='mmpose_lite.CheckFitHook'),
    dict(type='mmpose_lite.DataGuardHook'),
    dict(type='mmpose_lite.EpochSeedHook'),
]

codec = dict(
    type='UDPHeatmap',
    blur_kernel_size=3,
    heatmap_size=(24, 32),
    input_size=(96, 128),
    sigma=1.0,
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
            [12, 1, 1, [3, 5, 7], [36, 16, 5], True, 0],
            [12, 1, 1, [3, 5, 7], [24, 8, 4], True, 0],
            [8, 1, 1, [3, 5, 7], [28, 17, 9], True, 0],
            [16, 1, 2, [3, 5, 7], [22, 25, 24], True, 0],
            [8, 1, 1, [3, 5, 7], [15, 8, 3], True, 0],
            [16, 1, 1, [3, 5, 7], [37, 32, 41], True, 0],
            [8, 1, 1, [3, 5, 7], [13, 3, 3], True, 0],
            [8, 1, 1, [3, 5, 7], [19, 13, 22], True, 0],
            [16, 1, 2, [3, 5, 7], [13, 19, 21], True, 0],
            [16, 1, 1, [3, 5, 7], [19, 32, 45], True, 0],
            [32, 1, 2, [3, 5, 7], [41, 49, 60], True, 0],
            [8, 1, 1, [3, 5, 7], [7, 5, 4], True, 0],
            [16, 1, 1, [3, 5, 7], [21, 28, 44], True, 0],
            [32, 1, 1, [3, 5, 7], [64, 106, 116], True, 0],
            [16, 1, 1, [3, 5, 7], [5, 22, 20], True, 0],
        ],
    ),
    head=dict(
        type='HeatmapHead',
        decoder=codec,
        deconv_out_channels=None,
        in_channels=16,
        loss=dict(type='KeypointMSELoss', loss_weight=1000.0, use_target_weight=True),
        out_channels=17,
    ),
    test_cfg=dict(flip_mode='heatmap', flip_test=True, shift_heatmap=False),
)

data_root = 'data/toy-search/'
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.1),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.1),
    dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True),
    dict(type='PackPoseInputs'),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    drop_last=True,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        ann_file='annotations/person_keypoints_train.json',
        data_mode='topdown',
        data_prefix=dict(img='train/'),
        data_root=data_root,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', round_up=False, shuffle=False),
    dataset=dict(
        type='CocoDataset',
        ann_file='annotations/person_keypoints_val.json',
        data_mode='topdown',
        data_prefix=dict(img='val/'),
        data_root=data_root,
        test_mode=True,
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='CocoMetric',
    ann_file='data/toy-search/annotations/person_keypoints_val.json',
)
test_evaluator = val_evaluator
