_base_ = [
    'mmpose::body_2d_keypoint/topdown_heatmap/mpii/'
    'td-hm_hrnet-w32_8xb64-210e_mpii-256x256.py',
    '../_base_/plugin.py',
]
custom_hooks = [*_base_.custom_hooks, *_base_.guards]

# Recipe of the official code on MPII (see the COCO config). The official batch is known
# of L only; S-v1 and B train here with that of their sparse forms, so that dense and
# sparse networks compare.
train_cfg = dict(max_epochs=300)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(
        type='MultiStepLR',
        begin=0,
        end=300,
        milestones=[200, 260],
        gamma=0.1,
        by_epoch=True,
    )
]

codec = dict(type='UDPHeatmap', input_size=(256, 256), heatmap_size=(64, 64), sigma=2)
train_pipeline = _base_.train_pipeline
val_pipeline = _base_.val_pipeline
for step in (*train_pipeline, *val_pipeline):
    if step['type'] == 'RandomBBoxTransform':
        step.update(shift_prob=0, scale_factor=(0.75, 1.25), rotate_factor=60)
    elif step['type'] == 'TopdownAffine':
        step.update(use_udp=True)
    elif step['type'] == 'GenerateTarget':
        step.update(encoder=codec)
del step
train_dataloader = dict(
    batch_size=16,
    dataset=dict(type='mmpose_lite.ZeroBasedMpiiDataset', pipeline=train_pipeline),
)
auto_scale_lr = dict(base_batch_size=80)
val_dataloader = dict(
    dataset=dict(type='mmpose_lite.MpiiDataset', pipeline=val_pipeline)
)
test_dataloader = val_dataloader

model = dict(
    backbone=dict(type='HRNetTrunk', num_stages=3, extra=dict(stage4=None)),
    head=dict(
        _delete_=True,
        type='TokenPoseHead',
        in_channels=32,
        out_channels=16,
        in_featuremap_size=(64, 64),
        heatmap_size=codec['heatmap_size'],
        patch_size=(4, 4),
        loss=dict(type='KeypointMSELoss', use_target_weight=True, loss_weight=0.5),
        decoder=codec,
    ),
    test_cfg=dict(shift_heatmap=False),
)
