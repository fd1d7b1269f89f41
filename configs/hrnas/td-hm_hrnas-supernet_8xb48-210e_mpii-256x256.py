_base_ = [
    'mmpose::body_2d_keypoint/topdown_heatmap/mpii/'
    'td-hm_hrnet-w32_8xb64-210e_mpii-256x256.py',
    '../_base_/plugin.py',
]

# The recipe for COCO (see there) on MPII; the paper has none for it.
train_cfg = dict(max_epochs=210, val_interval=30)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=1e-8),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0),
)
param_scheduler = [
    dict(
        type='MultiStepLR',
        begin=0,
        end=210,
        milestones=[170, 200],
        gamma=0.1,
        by_epoch=True,
    )
]
auto_scale_lr = dict(base_batch_size=384)
default_hooks = dict(checkpoint=dict(type='mmpose_lite.AtomicCheckpointHook'))
custom_hooks = [
    *_base_.custom_hooks,
    *_base_.guards,
    dict(type='mmpose_lite.EpochSeedHook'),
    dict(type='mmpose_lite.PenaltyHook', weight=1e-6, begin=0, end=25),
    dict(type='mmpose_lite.ShrinkHook', interval=30),
    dict(
        type='EMAHook',
        ema_type='mmpose_lite.RampedAverage',
        momentum=9.4e-6,  # 1 - 0.9999^(384 / 4096)
        update_buffers=True,
    ),
    dict(
        type='mmpose_lite.BNRecalibrationHook', interval=30, batches=10, batch_size=16
    ),
]
train_pipeline = _base_.train_pipeline
for step in train_pipeline:
    if step['type'] == 'RandomBBoxTransform':
        step.update(shift_prob=0, scale_factor=(0.75, 1.25), rotate_factor=60)
del step
train_dataloader = dict(
    batch_size=48,
    dataset=dict(type='mmpose_lite.ZeroBasedMpiiDataset', pipeline=train_pipeline),
)

model = dict(
    type='mmpose_lite.SearchablePoseEstimator',
    resource=dict(input_size=_base_.codec.input_size, cost='macs'),
    backbone=dict(
        _delete_=True, type='mmpose_lite.HRNASNet', space=dict(base='keypoint')
    ),
    head=dict(
        in_channels=90,
        loss=dict(type='KeypointMSELoss', use_target_weight=True, loss_weight=0.5),
    ),
)
val_dataloader = test_dataloader = _base_.mpii_data
