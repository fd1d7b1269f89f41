# RTMPose's head and labels, with the recipe of the SimCC config: so both compare.
_base_ = ['./simcc_litehrnet-18_8xb64-210e_coco-256x192.py']

codec = dict(
    type='SimCCLabel',
    input_size=(192, 256),
    sigma=(4.9, 5.66),
    simcc_split_ratio=2.0,
    normalize=False,
)
# The head is made for maps of 1/32 of the image. All four of the network's are brought
# to that size, so that every parameter is used; what merges them into one is left out.
model = dict(
    backbone=dict(with_head=False),
    neck=dict(type='FeatureMapProcessor', select_index=(3, 2, 1, 0), concat=True),
    head=dict(
        _delete_=True,
        type='RTMCCHead',
        in_channels=600,
        out_channels=17,
        input_size=codec['input_size'],
        in_featuremap_size=(6, 8),
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
