_base_ = [
    'mmpose::body_2d_keypoint/topdown_heatmap/mpii/'
    'td-hm_hrnet-w32_8xb64-210e_mpii-256x256.py',
    '../_base_/plugin.py',
]
custom_hooks = [*_base_.custom_hooks, *_base_.guards]
val_dataloader = test_dataloader = _base_.mpii_data

# MMPose's file of this name loads 16 images per GPU; its schedule is made for 64.
train_dataloader = dict(
    batch_size=64, dataset=dict(type='mmpose_lite.ZeroBasedMpiiDataset')
)
model = dict(backbone=dict(type='PSAHRNet', layout='parallel'))
