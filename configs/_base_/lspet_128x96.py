# Leeds Sports Pose Extended (COCO json, AI Challenger joint order) at 128x96 (H x W),
# 600 iterations of 32: small enough for a CPU, real enough to compare models.
_base_ = ['mmpose::_base_/default_runtime.py', './plugin.py']
custom_hooks = [*_base_.custom_hooks, *_base_.guards]

train_cfg = dict(max_epochs=8, val_interval=2)  # 75 iterations an epoch
optim_wrapper = dict(optimizer=dict(type='Adam', lr=2e-3))
param_scheduler = []
randomness = dict(seed=0)
default_hooks = dict(
    checkpoint=dict(interval=1, save_best='PCK', rule='greater', max_keep_ckpts=2),
    logger=dict(interval=15),
)

# Sizes of codecs are (w, h).
codec = dict(type='MSRAHeatmap', input_size=(96, 128), heatmap_size=(24, 32), sigma=1.5)
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    head=dict(
        type='HeatmapHead',
        in_channels=40,
        out_channels=14,
        deconv_out_channels=None,
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=codec,
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
        type='mmpose_lite.AicDataset',
        data_root=data_root,
        data_mode='topdown',
        ann_file='annotations/lspet_train.json',
        data_prefix=dict(img='train/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='mmpose_lite.AicDataset',
        data_root=data_root,
        data_mode='topdown',
        ann_file='annotations/lspet_val.json',
        data_prefix=dict(img='val/'),
        test_mode=True,
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader
# PCK is relative to the larger side of the box; CocoMetric takes the annotations from
# the data set.
val_evaluator = [dict(type='PCKAccuracy', thr=0.1), dict(type='CocoMetric')]
test_evaluator = val_evaluator
