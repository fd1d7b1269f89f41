_base_ = ['./td-hm_tokenpose-s-v2_udp-4xb12-300e_coco-256x192.py']

# Of 768 visual tokens, layers after 3, 6 and 9 see 461, 277, 167.
model = dict(head=dict(sparse_cfg=dict(mode='token', keep_ratio=0.6, layers=(3, 6, 9))))
