_base_ = ['./td-hm_tokenpose-s-v1_1xb32-8e_lspet-128x96.py']

# Ablation: pruned attention alone.
model = dict(
    head=dict(
        sparse_cfg=dict(mode='mask', keep_ratio=0.6, layers=(3, 6, 9)),
    )
)
