_base_ = [
    'mmpose::body_2d_keypoint/simcc/coco/'
    'simcc_mobilenetv2_wo-deconv-8xb64-210e_coco-256x192.py',
    '../_base_/plugin.py',
]
custom_hooks = [*_base_.custom_hooks, *_base_.guards]
train_dataloader = val_dataloader = test_dataloader = _base_.coco_data

# MMPose's SimCC heads read maps of 1/32 of the image; this network's is of 1/4. A last
# convolution of stride 2 keeps the two linear layers from outgrowing the network.
optim_wrapper = dict(optimizer=dict(lr=2e-3))  # as with heatmaps
model = dict(
    backbone=dict(_delete_=True, type='mmpose_lite.LiteHRNet', arch='18'),
    head=dict(
        in_channels=40,
        in_featuremap_size=(24, 32),
        final_layer=dict(kernel_size=3, stride=2, padding=1),
    ),
)
