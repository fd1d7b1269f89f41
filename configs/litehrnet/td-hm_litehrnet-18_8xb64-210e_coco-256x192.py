_base_ = [
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/'
    'td-hm_litehrnet-18_8xb64-210e_coco-256x192.py',
    '../_base_/plugin.py',
]
custom_hooks = [*_base_.custom_hooks, *_base_.guards]
train_dataloader = val_dataloader = test_dataloader = _base_.coco_data

# MMPose's file trains with 5e-4; the official recipe is Adam with 2e-3.
optim_wrapper = dict(optimizer=dict(lr=2e-3))
model = dict(backbone=dict(_delete_=True, type='mmpose_lite.LiteHRNet', arch='18'))

# Boxes come from the detector file that published figures use. For ground-truth boxes
# add --cfg-options val_dataloader.dataset.bbox_file=None
# test_dataloader.dataset.bbox_file=None to the command line.
