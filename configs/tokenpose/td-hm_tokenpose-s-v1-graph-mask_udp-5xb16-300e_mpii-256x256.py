_base_ = ['./td-hm_tokenpose-s-v1-graph_udp-5xb16-300e_mpii-256x256.py']

# Ablation: the graph layers alone, with the mask of the skeleton.
model = dict(
    head=dict(
        joint_mask='skeleton',
        metainfo=dict(from_file='configs/_base_/datasets/mpii.py'),
    )
)
