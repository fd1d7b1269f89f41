_base_ = ['./td-hm_tokenpose-s-v1_1xb32-8e_lspet-128x96.py']

# Both sparsities: pruned attention, then graph layers under the joint mask.
model = dict(
    head=dict(
        sparse_cfg=dict(mode='mask', keep_ratio=0.6, layers=(3, 6, 9)),
        graph_depth=8,
        joint_mask='limb',
        metainfo=dict(from_file='configs/_base_/datasets/aic.py'),
    )
)
