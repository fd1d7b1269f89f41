_base_ = ['./td-hm_tokenpose-s-v1_udp-4xb32-300e_coco-256x192.py']

# Visual tokens are dropped for good: of 256, layers after 3, 6 and 9 see 154, 93, 56.
model = dict(head=dict(sparse_cfg=dict(mode='token', keep_ratio=0.6, layers=(3, 6, 9))))
