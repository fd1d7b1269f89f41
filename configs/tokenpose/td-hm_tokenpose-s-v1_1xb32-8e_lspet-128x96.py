_base_ = ['../_base_/lspet_128x96.py']

# TokenPose-S-v1 with its own patches on a quarter of the image: 64 visual tokens.
optim_wrapper = dict(optimizer=dict(lr=5e-4, betas=(0.9, 0.98)))
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
                type='Xavier',
                layer='Linear',
                distribution='uniform',
                override=dict(type='Normal', name='heatmap_mlp', std=0.002),
            ),
            dict(type='Constant', layer='LayerNorm', val=1),
        ],
    ),
)
