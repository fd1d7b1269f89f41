_base_ = ['./td-hm_tokenpose-s-v1_udp-4xb32-300e_coco-256x192.py']

# All tokens stay, but only those that the keypoints look at most are attended to.
model = dict(
    head=dict(
        sparse_cfg=dict(
            mode='shared', keep_ratio=0.6, layers=(3, 6, 9), queries='keypoint'
        )
    )
)
