_base_ = ['./td-hm_tokenpose-s-v1_udp-5xb16-300e_mpii-256x256.py']

# Ablation: pruned attention alone.
model = dict(head=dict(sparse_cfg=dict(mode='mask', keep_ratio=0.6, layers=(3, 6, 9))))
