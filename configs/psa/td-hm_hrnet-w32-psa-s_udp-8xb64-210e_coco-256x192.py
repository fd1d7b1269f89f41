_base_ = [
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/'
    'td-hm_hrnet-w32_udp-8xb64-210e_coco-256x192.py',
    '../_base_/plugin.py',
]
custom_hooks = [*_base_.custom_hooks, *_base_.guards]
train_dataloader = val_dataloader = test_dataloader = _base_.coco_data

model = dict(backbone=dict(type='PSAHRNet', layout='sequential'))
