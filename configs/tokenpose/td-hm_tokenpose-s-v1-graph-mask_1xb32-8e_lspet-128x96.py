_base_ = ['./td-hm_tokenpose-s-v1_1xb32-8e_lspet-128x96.py']

# Ablation: graph layers under the joint mask.
model = dict(
    head=dict(
        graph_depth=8,
        joint_mask='limb',
        metainfo=dict(from_file='configs/_base_/datasets/aic.py'),
    )
)
