_base_ = ['./td-hm_tokenpose-b_udp-4xb32-300e_coco-256x192.py']

# A light trunk in the place of HRNet, from scratch; not one of the paper's networks.
model = dict(
    backbone=dict(_delete_=True, type='mmpose_lite.LiteHRNet', arch='18'),
    head=dict(in_channels=40),
)
