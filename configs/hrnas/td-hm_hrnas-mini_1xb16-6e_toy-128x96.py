# A search that one CPU core finishes in minutes: supernet of 15 blocks, toy people.
_base_ = ['../demo/td-hm_xhrnet-toy_1xb16-2e_toy-128x96.py']

max_epochs = 6
randomness = dict(seed=0)
train_cfg = dict(max_epochs=max_epochs, val_interval=3)
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
        end=max_epochs,
        T_max=max_epochs,
        eta_min=3e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(
    checkpoint=dict(
        _delete_=True,
        type='mmpose_lite.AtomicCheckpointHook',
        interval=1,
        max_keep_ckpts=2,
    ),
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='mmpose_lite.EpochSeedHook'),
    # Below the task's gradients, so that it is not cost alone that decides.
    dict(type='mmpose_lite.PenaltyHook', weight=1e-4, begin=0, end=2),
    dict(type='mmpose_lite.ShrinkHook', interval=1, end=5),
    dict(type='EMAHook', ema_type='mmpose_lite.RampedAverage', update_buffers=True),
    dict(type='mmpose_lite.BNRecalibrationHook', batches=10, batch_size=16),
]
model = dict(
    type='mmpose_lite.SearchablePoseEstimator',
    resource=dict(
        input_size=_base_.codec.input_size, cost='macs', target=dict(macs=20e6)
    ),
    backbone=dict(
        _delete_=True, type='mmpose_lite.HRNASNet', space='mini', channels_last=True
    ),
    head=dict(in_channels=16),
)
