"""All passes together: exact on every row, cheaper, and the input untouched."""

import copy
from pathlib import Path

import mmpose
import pytest
import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from parity import fill_from, own_fill
from passes_cases import TOLERANCE, TOLERANCE_F32, build, calls, difference, image
from rows import IDS, ROWS, TINY, TINY_IDS, TINY_ROWS
from torch import nn

from mmpose_lite.analysis import Traffic, count_traffic
from mmpose_lite.deploy import (
    TARGETS,
    EstimatorGraph,
    gains,
    list_passes,
    optimize,
)
from mmpose_lite.deploy.passes.fold import fold_positions
from mmpose_lite.loading import build_model
from mmpose_lite.models.backbones import LiteHRNet
from mmpose_lite.models.heads import TokenPoseHead

PUBLISHED = (
    '.mim/configs/body_2d_keypoint/topdown_heatmap/coco/'
    'td-hm_litehrnet-18_8xb64-210e_coco-256x192.py'
)
# Targets with layouts, None being their own.
FORMS = [
    ('eager', None),
    ('eager', 'full'),
    ('eager', 'blocks'),
    ('onnxruntime', None),
    ('openvino', None),
]
CODEC = dict(type='MSRAHeatmap', input_size=(96, 64), heatmap_size=(24, 16), sigma=2)
HEATMAPS = dict(
    type='HeatmapHead',
    in_channels=8,
    out_channels=5,
    deconv_out_channels=None,
    loss=dict(type='KeypointMSELoss', use_target_weight=True),
    decoder=CODEC,
)
TOKENS = dict(
    in_channels=8,
    out_channels=5,
    in_featuremap_size=(24, 16),
    heatmap_size=(24, 16),
    patch_size=(4, 2),
    embed_dims=16,
    depths=(3,),
    num_heads=2,
    decoder=CODEC,
)
SPARSE = dict(keep_ratio=0.5, layers=(0,))
HEADS = {
    'sine-full': dict(position='sine-full', depths=(2, 2)),
    'sine': dict(position='sine'),
    'learnable': dict(position='learnable'),
    'width': dict(qk_scale='width', hidden_channels=24),
    'graph': dict(graph_depth=1),
    'mask': dict(sparse_cfg=dict(SPARSE, mode='mask')),
    'shared': dict(sparse_cfg=dict(SPARSE, mode='shared')),
    'token': dict(sparse_cfg=dict(SPARSE, mode='token'), position='sine-full'),
}


def picture(size=(64, 96), batch=2):
    return image(size, batch, torch.float32)


def assert_exact(rows):
    assert [row.name for row in rows if row.difference > TOLERANCE] == []
    assert [row.name for row in rows if row.difference_f32 > TOLERANCE_F32] == []


@pytest.mark.parametrize(('target', 'layout'), FORMS)
@pytest.mark.parametrize(('cls', 'arch'), TINY_ROWS, ids=TINY_IDS)
def test_every_pass_is_exact(cls, arch, target, layout):
    options = dict(target=target, layout=layout, image_size=(64, 96))
    rows = gains(build(cls, arch), picture(), **options)
    assert_exact(rows)
    assert [row.name for row in rows[1:]] == list(list_passes(target))


@pytest.mark.slow
@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize(('cls', 'arch'), ROWS, ids=IDS)
def test_every_variant_is_exact_and_cheaper(cls, arch, target):
    options = dict(target=target, image_size=(128, 96))
    rows = gains(build(cls, arch), picture((128, 96), 1), **options)
    assert_exact(rows)
    folded, last = rows[1].traffic, rows[-1].traffic
    # For a single engine, what counts is which operators there are.
    if target in ('graph', 'eager'):
        assert last.operators < folded.operators
    if target == 'eager':
        assert last.bytes < folded.bytes


@pytest.mark.slow
def test_goal_of_operators_and_bytes():
    theirs = build_model(Config.fromfile(Path(mmpose.__path__[0], PUBLISHED))).backbone
    theirs.eval()  # returns nothing
    ours = optimize(LiteHRNet('18'), target='eager')
    x = picture((256, 192), 1)
    before, after = (
        sum(count_traffic(lambda net=net: net(x)).values(), Traffic())
        for net in (fuse_conv_bn(theirs), ours)
    )
    assert before.operators / after.operators >= 1.5
    assert before.bytes / after.bytes >= 1.6


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize(('cls', 'arch'), TINY_ROWS, ids=TINY_IDS)
def test_input_is_untouched(cls, arch, target):
    net = build(cls, arch).train()
    next(net.parameters()).requires_grad_(False)
    wanted = [p.requires_grad for p in net.parameters()]
    state = copy.deepcopy(net.state_dict())
    kinds = [type(module) for module in net.modules()]
    optimized = optimize(net, target)
    assert net.training
    assert not any(module.training for module in optimized.modules())
    assert [p.requires_grad for p in net.parameters()] == wanted
    assert not any(p.requires_grad for p in optimized.parameters())
    assert [type(module) for module in net.modules()] == kinds
    x = picture()
    given = x.clone()
    first = optimized(x)[0].clone()
    torch.testing.assert_close(optimized(x)[0], first, rtol=0, atol=0)
    torch.testing.assert_close(x, given, rtol=0, atol=0)
    torch.testing.assert_close(net.state_dict(), state, rtol=0, atol=0)


def test_another_image_size_unless_it_was_fixed():
    cls, arch = next(row for row in TINY_ROWS if row[1]['unit'] == 'sequential')
    net = build(cls, arch).double()
    other = image((96, 64))
    with torch.no_grad():
        expected = net(other)[0]
        torch.testing.assert_close(optimize(net)(other)[0], expected)
        fixed = optimize(net, image_size=(96, 64))
        torch.testing.assert_close(fixed(other)[0], expected)
        with pytest.raises(RuntimeError):
            fixed(image((64, 96)))


def test_foreign_network_has_its_norms_folded():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU()).eval()
    net[1].running_mean.normal_()
    optimized = optimize(net)
    assert [type(step) for step in optimized] == [nn.Conv2d, nn.GELU]
    torch.testing.assert_close(optimized(picture()), net(picture()))


@pytest.mark.parametrize(
    ('option', 'value'), [('target', 'engine'), ('layout', 'halves')]
)
def test_unknown_option(option, value):
    cls, arch = TINY_ROWS[0]
    with pytest.raises(ValueError, match=f"{option} must be one of .* got '{value}'"):
        optimize(cls(arch), **{option: value})


@pytest.mark.parametrize('name', HEADS)
def test_positions_of_a_head_are_folded(name):
    init_default_scope('mmpose')
    torch.manual_seed(0)
    head = TokenPoseHead(**{**TOKENS, **HEADS[name]})
    fill_from(head, own_fill)
    head.double().eval()
    feats = (torch.randn(2, 8, 16, 24, dtype=torch.float64),)
    folded = fold_positions(copy.deepcopy(head))
    assert difference(folded, head, feats) < TOLERANCE
    before, after = calls(head, feats), calls(folded, feats)
    assert len(after) < len(before)
    padded = name not in ('learnable', 'mask', 'shared', 'token')
    paddings = [names.count('constant_pad_nd') for names in (before, after)]
    assert paddings[1] <= paddings[0] - padded
    if name == 'sine-full':  # added before two layers, folded into those before them
        assert before.count('add') - after.count('add') == 2
    assert folded.decoder is not None
    assert fold_positions(folded) is folded


def estimator(head):
    init_default_scope('mmpose')
    parts = dict(
        data_preprocessor=dict(type='PoseDataPreprocessor'),
        backbone=dict(type='mmpose_lite.LiteHRNet', arch=dict(TINY, unit='ccw')),
        head=head,
        test_cfg=dict(flip_test=False),
    )
    model = MODELS.build(dict(type='TopdownPoseEstimator', **parts))
    fill_from(model, own_fill)
    return model.eval()


@pytest.mark.parametrize('target', TARGETS)
def test_pose_estimator(target):
    model = estimator(HEATMAPS)
    optimized = optimize(model, target)
    graphs = (EstimatorGraph(net) for net in (optimized, model))
    assert difference(*graphs, picture()) < 1e-5
    assert optimized.head.decoder is not None
    rows = gains(model, picture(), target=target)
    assert max(row.difference for row in rows) < TOLERANCE
    if target in ('graph', 'eager'):
        assert rows[-1].traffic.operators < rows[1].traffic.operators


def test_pose_estimator_with_tokens():
    rows = gains(estimator(dict(TOKENS, type='mmpose_lite.TokenPoseHead')), picture())
    assert max(row.difference for row in rows) < TOLERANCE
