_base_ = ['./td-hm_tokenpose-s-v1_1xb32-8e_lspet-128x96.py']

# Ablation: graph layers in which every keypoint sees every other.
model = dict(
    head=dict(
        graph_depth=8,
    )
)
