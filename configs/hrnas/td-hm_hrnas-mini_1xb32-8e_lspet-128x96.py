# The small search space on Leeds Sports Pose Extended: 600 iterations of 32.
_base_ = ['../_base_/lspet_128x96.py']

optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type='Adam', lr=3e-3, weight_decay=1e-8),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0),
)
param_scheduler = [
    dict(type='LinearLR', begin=0, end=30, start_factor=0.1, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=8,
        T_max=8,
        eta_min=3e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(checkpoint=dict(type='mmpose_lite.AtomicCheckpointHook'))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='mmpose_lite.EpochSeedHook'),
    dict(type='mmpose_lite.PenaltyHook', weight=1e-3, begin=0, end=2),
    dict(type='mmpose_lite.ShrinkHook', interval=1, end=6),
    dict(type='EMAHook', ema_type='mmpose_lite.RampedAverage', update_buffers=True),
    dict(type='mmpose_lite.BNRecalibrationHook', batches=10, batch_size=32),
]
model = dict(
    type='mmpose_lite.SearchablePoseEstimator',
    resource=dict(
        input_size=_base_.codec.input_size, cost='macs', target=dict(macs=20e6)
    ),
    backbone=dict(type='mmpose_lite.HRNASNet', space='mini', channels_last=True),
    # The weight lifts the gradients far above Adam's epsilon, and to the penalty's.
    head=dict(in_channels=16, loss=dict(loss_weight=1000.0)),
)
