# RTMPose's head and labels, with the recipe of the SimCC config: so both compare.
_base_ = ['./simcc_litehrnet-18_8xb64-210e_coco-256x192.py', '../_base_/rtmcc.py']

codec = dict(
    type='SimCCLabel',
    input_size=(192, 256),
    sigma=(4.9, 5.66),
    simcc_split_ratio=2.0,
    normalize=False,
)
model = dict(
    backbone=dict(with_head=False),
    neck=_base_.rtmcc_neck,
    head=dict(
        _delete_=True,
        **_base_.rtmcc_head,
        out_channels=17,
        input_size=codec['input_size'],
        in_featuremap_size=(6, 8),
        decoder=codec,
    ),
)
train_pipeline = [
    *_base_.train_pipeline[:-2],
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
