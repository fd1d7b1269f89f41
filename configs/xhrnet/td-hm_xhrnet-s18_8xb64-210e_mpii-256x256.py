_base_ = [
    'mmpose::body_2d_keypoint/topdown_heatmap/mpii/'
    'td-hm_litehrnet-18_8xb64-210e_mpii-256x256.py',
    '../_base_/plugin.py',
]
custom_hooks = [*_base_.custom_hooks, *_base_.guards]
train_dataloader = dict(dataset=dict(type='mmpose_lite.ZeroBasedMpiiDataset'))
val_dataloader = test_dataloader = _base_.mpii_data

# X-HRNet was published for COCO only: this is its COCO recipe (Adam 2e-3, 64 images per
# GPU) with Lite-HRNet's evaluation every 5 epochs.
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(val_interval=5)
model = dict(backbone=dict(_delete_=True, type='XHRNet', arch='s18'))
