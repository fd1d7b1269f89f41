_base_ = [
    'mmpose::body_2d_keypoint/topdown_heatmap/mpii/'
    'td-hm_litehrnet-18_8xb64-210e_mpii-256x256.py',
    '../_base_/plugin.py',
]
custom_hooks = [*_base_.custom_hooks, *_base_.guards]
train_dataloader = dict(dataset=dict(type='mmpose_lite.ZeroBasedMpiiDataset'))
val_dataloader = test_dataloader = _base_.mpii_data

# Official recipe: Adam with 2e-3 (MMPose's file: 5e-4), evaluated every 5 epochs (10),
# at 8 x 32 images; this file keeps MMPose's 8 x 64.
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(val_interval=5)
model = dict(backbone=dict(_delete_=True, type='mmpose_lite.LiteHRNet', arch='18'))
