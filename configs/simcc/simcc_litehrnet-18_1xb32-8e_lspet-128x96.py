_base_ = ['../_base_/lspet_128x96.py']

# Deviations of both heads here are those for 256x192 over the square root of two, as
# RTMPose chooses them for other sizes.
simcc = dict(type='SimCCLabel', input_size=(96, 128), sigma=4.24, simcc_split_ratio=2.0)
codec = dict(_delete_=True, **simcc)
model = dict(
    backbone=dict(type='mmpose_lite.LiteHRNet', arch='18'),
    head=dict(
        _delete_=True,
        type='SimCCHead',
        in_channels=40,
        out_channels=14,
        input_size=simcc['input_size'],
        in_featuremap_size=(12, 16),
        simcc_split_ratio=simcc['simcc_split_ratio'],
        deconv_out_channels=None,
        final_layer=dict(kernel_size=3, stride=2, padding=1),
        loss=dict(type='KLDiscretLoss', use_target_weight=True),
        decoder=simcc,
    ),
)
train_pipeline = [
    *_base_.train_pipeline[:-2],
    dict(type='GenerateTarget', encoder=simcc),
    dict(type='PackPoseInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
