"""Heads and whole pose estimators, optimized."""

import copy

import pytest
import torch
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from parity import fill_from, own_fill
from passes_cases import TOLERANCE, calls, image
from rows import TINY

from mmpose_lite.deploy import TARGETS, gains, optimize, relative_difference
from mmpose_lite.deploy.passes.fold import fold_positions
from mmpose_lite.models.heads import TokenPoseHead

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


@pytest.fixture(autouse=True)
def _setting():
    init_default_scope('mmpose')
    torch.manual_seed(0)


CODEC = dict(type='MSRAHeatmap', input_size=(96, 64), heatmap_size=(24, 16), sigma=2)
TOKENS = dict(
    in_channels=8,
    out_channels=5,
    in_featuremap_size=(24, 16),
    heatmap_size=(24, 16),
    patch_size=(4, 2),
    embed_dims=16,
    depths=(3,),
    num_heads=2,
)
HEATMAPS = dict(
    type='HeatmapHead',
    in_channels=8,
    out_channels=5,
    deconv_out_channels=None,
    loss=dict(type='KeypointMSELoss', use_target_weight=True),
    decoder=CODEC,
)


@pytest.mark.parametrize('name', HEADS)
def test_positions_are_folded(name):
    head = TokenPoseHead(**{**TOKENS, **HEADS[name]}, decoder=CODEC)
    fill_from(head, own_fill)
    head.double().eval()
    feats = (torch.randn(2, 8, 16, 24, dtype=torch.float64),)
    folded = fold_positions(copy.deepcopy(head))
    with torch.no_grad():
        assert relative_difference([folded(feats)], [head(feats)]) < TOLERANCE
    before, after = calls(head, feats), calls(folded, feats)
    assert len(after) < len(before)
    constant = 1 if name in ('mask', 'shared', 'token') else 0
    assert after.count('constant_pad_nd') <= before.count('constant_pad_nd') - (
        name != 'learnable' and not constant
    )
    if name == 'sine-full':  # added before two layers, folded into those before them
        assert before.count('add') - after.count('add') == 2
    assert folded.decoder is not None
    assert fold_positions(folded) is folded


def estimator(head=HEATMAPS):
    backbone = dict(type='mmpose_lite.LiteHRNet', arch=dict(TINY, unit='ccw'))
    model = MODELS.build(
        dict(
            type='TopdownPoseEstimator',
            data_preprocessor=dict(type='PoseDataPreprocessor'),
            backbone=backbone,
            head=head,
            test_cfg=dict(flip_test=False),
        )
    )
    fill_from(model, own_fill)
    return model.eval()


@pytest.mark.parametrize('target', TARGETS)
def test_pose_estimator(target):
    model = estimator()
    optimized = optimize(model, target)
    picture = image(dtype=torch.float32)
    with torch.no_grad():
        found = optimized(picture, None, mode='tensor')
        expected = model(picture, None, mode='tensor')
    assert relative_difference([found], [expected]) < 1e-5
    assert optimized.head.decoder is not None
    rows = gains(model, picture, target=target)
    assert max(row.difference for row in rows) < TOLERANCE
    if target in ('graph', 'eager'):
        assert rows[-1].traffic.operators < rows[1].traffic.operators


def test_estimator_with_tokens():
    head = dict(TOKENS, type='mmpose_lite.TokenPoseHead')
    rows = gains(estimator(head), image(dtype=torch.float32))
    assert max(row.difference for row in rows) < TOLERANCE
