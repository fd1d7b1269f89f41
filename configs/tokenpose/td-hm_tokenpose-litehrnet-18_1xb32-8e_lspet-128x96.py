_base_ = ['./td-hm_tokenpose-s-v1_1xb32-8e_lspet-128x96.py']

# A light trunk in the place of the stem; not one of the paper's networks.
model = dict(
    backbone=dict(_delete_=True, type='mmpose_lite.LiteHRNet', arch='18'),
    head=dict(in_channels=40),
)
