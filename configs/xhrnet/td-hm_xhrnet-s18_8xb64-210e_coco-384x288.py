_base_ = [
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/'
    'td-hm_litehrnet-18_8xb32-210e_coco-384x288.py',
    '../_base_/plugin.py',
]
custom_hooks = [*_base_.custom_hooks, *_base_.guards]
val_dataloader = test_dataloader = _base_.coco_data

# Published recipe: Adam with 2e-3 and 64 images per GPU at this size too (MMPose's file
# for Lite-HRNet: 5e-4, 32).
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_dataloader = dict(batch_size=64, dataset=dict(type='mmpose_lite.CocoDataset'))
model = dict(backbone=dict(_delete_=True, type='XHRNet', arch='s18'))
