_base_ = ['./td-hm_tokenpose-b_udp-5xb16-300e_mpii-256x256.py']

model = dict(
    head=dict(
        sparse_cfg=dict(mode='mask', keep_ratio=0.6, layers=(3, 6, 9)),
        graph_depth=8,
        joint_mask='skeleton',
        metainfo=dict(from_file='configs/_base_/datasets/mpii.py'),
    )
)
