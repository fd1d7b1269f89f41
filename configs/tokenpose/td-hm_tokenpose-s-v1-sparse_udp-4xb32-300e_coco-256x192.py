_base_ = ['./td-hm_tokenpose-s-v1_udp-4xb32-300e_coco-256x192.py']

# Both sparsities: pruned attention, then graph layers on the keypoint tokens. 'limb' is
# the paper's mask (a shoulder sees its elbow and the other shoulder).
model = dict(
    head=dict(
        sparse_cfg=dict(mode='mask', keep_ratio=0.6, layers=(3, 6, 9)),
        graph_depth=8,
        joint_mask='limb',
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
    )
)
