_base_ = ['./td-hm_tokenpose-s-v1_1xb32-8e_lspet-128x96.py']

# Tokens that the keypoints look at least are dropped: the form that saves time.
model = dict(
    head=dict(
        sparse_cfg=dict(mode='token', keep_ratio=0.6, layers=(3, 6, 9)),
    )
)
