_base_ = ['./simcc_litehrnet-18_1xb32-8e_lspet-128x96.py']

codec = dict(
    type='SimCCLabel',
    input_size=(96, 128),
    sigma=(3.46, 4.0),
    simcc_split_ratio=2.0,
    normalize=False,
)
model = dict(
    backbone=dict(with_head=False),
    neck=dict(type='FeatureMapProcessor', select_index=(3, 2, 1, 0), concat=True),
    head=dict(
        _delete_=True,
        type='RTMCCHead',
        in_channels=600,
        out_channels=14,
        input_size=codec['input_size'],
        in_featuremap_size=(3, 4),
        simcc_split_ratio=codec['simcc_split_ratio'],
        final_layer_kernel_size=7,
        gau_cfg=dict(
            hidden_dims=256,
            s=128,
            expansion_factor=2,
            dropout_rate=0.0,
            drop_path=0.0,
            act_fn='SiLU',
            use_rel_bias=False,
            pos_enc=False,
        ),
        loss=dict(
            type='KLDiscretLoss',
            use_target_weight=True,
            beta=10.0,
            label_softmax=True,
        ),
        decoder=codec,
    ),
)
train_pipeline = [
    *_base_.train_pipeline[:-2],
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
