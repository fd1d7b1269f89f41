_base_ = ['./td-hm_tokenpose-b_udp-5xb16-300e_mpii-256x256.py']

# HRNet's stem and first stage, trained from scratch.
model = dict(
    backbone=dict(
        num_stages=1,
        extra=dict(stage2=None, stage3=None),
        init_cfg=[
            dict(type='Normal', layer='Conv2d', std=0.001),
            dict(type='Constant', layer='BatchNorm2d', val=1),
        ],
    ),
    head=dict(in_channels=256, qk_scale='width'),
)
