_base_ = ['../_base_/lspet_128x96.py']

# TokenPose-S-v1 with its own patches on a quarter of the image: 64 visual tokens.
#
# Six hundred steps of 32 are few for a transformer. With one rate for all it learns
# where joints usually are and nothing of the image; a low rate for the encoder and a
# high one for what lies before and after it learns from the first epoch on.
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    paramwise_cfg=dict(
        custom_keys={
            'backbone': dict(lr_mult=10),
            'keypoint_tokens': dict(lr_mult=20),
            'heatmap_mlp': dict(lr_mult=10),
        }
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=75),
    dict(
        type='CosineAnnealingLR',
        by_epoch=False,
        begin=75,
        end=600,
        T_max=525,
        eta_min_ratio=0.02,
    ),
]
model = dict(
    backbone=dict(
        type='HRNetTrunk',
        num_stages=1,
        extra=dict(
            stage1=dict(
                num_modules=1,
                num_branches=1,
                block='BOTTLENECK',
                num_blocks=(4,),
                num_channels=(64,),
            )
        ),
    ),
    head=dict(
        _delete_=True,
        type='TokenPoseHead',
        in_channels=256,
        out_channels=14,
        in_featuremap_size=(24, 32),
        heatmap_size=_base_.codec.heatmap_size,
        patch_size=(3, 4),
        qk_scale='width',
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=_base_.codec,
        init_cfg=[
            dict(
                type='Normal',
                layer='Linear',
                std=0.05,
                override=[
                    dict(type='Normal', name='patch_embedding', std=0.02),
                    dict(type='Normal', name='heatmap_mlp', std=0.002),
                ],
            ),
            dict(type='Constant', layer='LayerNorm', val=1),
        ],
    ),
)
