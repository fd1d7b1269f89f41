_base_ = [
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/'
    'td-hm_litehrnet-18_8xb32-210e_coco-384x288.py',
    '../_base_/plugin.py',
]
custom_hooks = [*_base_.custom_hooks, *_base_.guards]
train_dataloader = val_dataloader = test_dataloader = _base_.coco_data

# Official recipe: Adam with 2e-3 (MMPose's file: 5e-4) at 8 x 32 images.
optim_wrapper = dict(optimizer=dict(lr=2e-3))
auto_scale_lr = dict(base_batch_size=256)
model = dict(backbone=dict(_delete_=True, type='mmpose_lite.LiteHRNet', arch='18'))
