_base_ = ['./simcc_litehrnet-18_1xb32-8e_lspet-128x96.py', '../_base_/rtmcc.py']

codec = dict(
    type='SimCCLabel',
    input_size=(96, 128),
    sigma=(3.46, 4.0),
    simcc_split_ratio=2.0,
    normalize=False,
)
model = dict(
    backbone=dict(with_head=False),
    neck=_base_.rtmcc_neck,
    head=dict(
        _delete_=True,
        **_base_.rtmcc_head,
        out_channels=14,
        input_size=codec['input_size'],
        in_featuremap_size=(3, 4),
        decoder=codec,
    ),
)
train_pipeline = [
    *_base_.train_pipeline[:-2],
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
