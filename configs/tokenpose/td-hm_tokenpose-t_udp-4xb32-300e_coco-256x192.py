_base_ = ['./td-hm_tokenpose-b_udp-4xb32-300e_coco-256x192.py']

# No convolution at all: patches of the image itself.
model = dict(
    backbone=dict(_delete_=True, type='RawImage'),
    head=dict(
        in_channels=3,
        in_featuremap_size=_base_.codec.input_size,
        patch_size=(12, 16),
        num_heads=16,
    ),
)
