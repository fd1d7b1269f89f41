_base_ = ['./td-hm_tokenpose-b_udp-5xb16-300e_mpii-256x256.py']

train_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=64)
model = dict(
    backbone=dict(
        extra=dict(
            stage2=dict(num_channels=(48, 96)),
            stage3=dict(num_channels=(48, 96, 192)),
        ),
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmpose/pretrain_models/'
            'hrnet_w48-8ef0771d.pth'
        ),
    ),
    head=dict(in_channels=48, depths=(2, 2, 2)),
)
