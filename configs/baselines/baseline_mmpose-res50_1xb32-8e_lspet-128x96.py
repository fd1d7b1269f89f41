_base_ = ['../_base_/lspet_128x96.py']

# MMPose's ResNet-50 behind deconvolutions and its rate; from scratch, like the others.
optim_wrapper = dict(optimizer=dict(lr=5e-4))
model = dict(
    backbone=dict(type='ResNet', depth=50),
    head=dict(
        in_channels=2048,
        deconv_out_channels=(256, 256, 256),
        deconv_kernel_sizes=(4, 4, 4),
    ),
)
