"""Small top-down models of every family that is explained, with random weights."""

from functools import cache

import torch
from mmengine.config import Config
from mmpose.apis import init_model
from rows import hrnet_extra

from mmpose_lite.data import render_toy_image
from mmpose_lite.models.backbones import HRNASNet
from mmpose_lite.models.backbones.hrnas_arch import resolve_space

WIDTH, HEIGHT = 96, 128
ARCH = dict(num_modules=(1, 2), channels=((8, 16), (8, 16, 32)), num_blocks=2)


def _psa(**options):
    return dict(type='mmpose_lite.PSAHRNet', extra=hrnet_extra(), **options)


def _lite(kind, unit, **options):
    return dict(type=f'mmpose_lite.{kind}', arch=dict(unit=unit, **ARCH), **options)


BACKBONES = {
    'X-HRNet sequential': (_lite('XHRNet', 'sequential', max_size=(40, 40)), 8),
    'X-HRNet parallel': (_lite('XHRNet', 'parallel', max_size=(40, 40)), 8),
    'Lite-HRNet': (_lite('LiteHRNet', 'ccw'), 8),
    'PSA parallel': (_psa(), 8),
    'PSA sequential': (_psa(layout='sequential'), 8),
    'PSA paper': (_psa(layout='sequential', variant='paper'), 8),
}
SPARSE = {
    'dense': {},
    'width': dict(qk_scale='width'),
    'several encoders': dict(depths=(2, 2, 2)),
    'graph': dict(
        graph_depth=2,
        joint_mask='limb',
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
    ),
    **{
        name: dict(sparse_cfg=dict(keep_ratio=0.4, layers=(1, 3), **options))
        for name, options in {
            'mask': dict(mode='mask'),
            'mask reselect': dict(mode='mask', reselect='masked'),
            'mask smoothed': dict(mode='mask', mask_eps=0.1),
            'gather': dict(mode='gather'),
            'block': dict(mode='block', block=2),
            'shared': dict(mode='shared'),
            'shared keypoint': dict(mode='shared', queries='keypoint'),
            'token': dict(mode='token'),
        }.items()
    },
}


def build(backbone, head, flip_test=False):
    """An estimator of COCO's keypoints for crops of 96x128."""
    codec = dict(
        type='MSRAHeatmap',
        input_size=(WIDTH, HEIGHT),
        heatmap_size=(WIDTH // 4, HEIGHT // 4),
        sigma=1,
    )
    pipeline = [
        dict(type='LoadImage'),
        dict(type='GetBBoxCenterScale'),
        dict(type='TopdownAffine', input_size=codec['input_size']),
        dict(type='PackPoseInputs'),
    ]
    loader = dict(dataset=dict(type='CocoDataset', pipeline=pipeline))
    model = dict(
        type='TopdownPoseEstimator',
        data_preprocessor=dict(
            type='PoseDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
        ),
        backbone=backbone,
        head=dict(decoder=codec, **head),
        test_cfg=dict(flip_test=flip_test, flip_mode='heatmap'),
    )
    torch.manual_seed(0)
    cfg = dict(model=model, train_dataloader=loader, test_dataloader=loader)
    return init_model(Config(cfg), device='cpu').eval()


def heatmap_model(name, count=17, **options):
    """A backbone of the table before heatmaps."""
    backbone, channels = BACKBONES[name]
    head = dict(
        type='HeatmapHead', in_channels=channels, out_channels=count,
        deconv_out_channels=None,
    )  # fmt: skip
    return build(backbone, head, **options)


def token_model(name='dense', flip_test=False):
    """A TokenPose head on 6 columns and 8 rows of patches of the image itself."""
    head = dict(
        type='mmpose_lite.TokenPoseHead',
        in_channels=3,
        out_channels=17,
        in_featuremap_size=(WIDTH, HEIGHT),
        heatmap_size=(WIDTH // 4, HEIGHT // 4),
        patch_size=(16, 16),
        embed_dims=32,
        num_heads=2,
    )
    head |= dict(depths=(6,)) | SPARSE[name]
    return build(dict(type='mmpose_lite.RawImage'), head, flip_test)


@cache
def scene():
    """An image with one toy person, as large as the crop."""
    return render_toy_image(0, 'val', 0, (WIDTH, HEIGHT), max_persons=1).image


# MMPose's geometry enlarges boxes by a quarter: this one becomes the whole image.
WHOLE = [WIDTH * 0.1, HEIGHT * 0.1, WIDTH * 0.9, HEIGHT * 0.9]


TINY = resolve_space(
    dict(
        num_blocks=((1,), (1, 2)),
        channels=((8,), (8, 16)),
        stem_channels=(8, 8),
        head_channels=16,
        transformer='all',
        tokens=4,
    )
)


def shrunk():
    """A network whose blocks lost parts, one of them everything."""
    torch.manual_seed(0)
    net = HRNASNet(space=dict(TINY.__dict__))
    for index, (_, block) in enumerate(net.named_blocks()):
        masks = [torch.rand(n) < 0.5 for n in block.channels]
        tokens = torch.rand(block.tokens) < 0.5
        if index == 3:
            masks, tokens = [m & False for m in masks], tokens & False
        block.cut(masks, tokens)
    return net
