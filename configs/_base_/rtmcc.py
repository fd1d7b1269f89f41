# RTMPose's neck and head behind networks with four maps. The head is made for maps of
# 1/32 of the image: all four are brought to that size, so that every parameter is used,
# and what merges them into one is left out of the backbone.
rtmcc_neck = dict(type='FeatureMapProcessor', select_index=(3, 2, 1, 0), concat=True)
rtmcc_head = dict(
    type='RTMCCHead',
    in_channels=600,
    simcc_split_ratio=2.0,
    final_layer_kernel_size=7,
    gau_cfg=dict(
        hidden_dims=256,
        s=128,
        expansion_factor=2,
        dropout_rate=0.0,
        drop_path=0.0,
        act_fn='SiLU',
        use_rel_bias=False,
        pos_enc=False,
    ),
    loss=dict(
        type='KLDiscretLoss', use_target_weight=True, beta=10.0, label_softmax=True
    ),
)
