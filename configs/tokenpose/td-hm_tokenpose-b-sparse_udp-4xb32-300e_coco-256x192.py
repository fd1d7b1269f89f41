_base_ = ['./td-hm_tokenpose-b_udp-4xb32-300e_coco-256x192.py']

model = dict(
    head=dict(
        sparse_cfg=dict(mode='mask', keep_ratio=0.6, layers=(3, 6, 9)),
        graph_depth=8,
        joint_mask='limb',
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
    )
)
