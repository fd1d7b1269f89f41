"""TokenPoseHead as a head of MMPose: loss, prediction, any codec, any backbone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmpose.models.utils.tta import flip_heatmaps
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample
from parity import untaught
from rows import TINY
from torch.nn import functional as F

from mmpose_lite.models.heads import TokenPoseHead

CODECS = {
    'msra': dict(type='MSRAHeatmap', sigma=2),
    'udp': dict(type='UDPHeatmap', sigma=2),
    'megvii': dict(type='MegviiHeatmap', kernel_size=5),
}
every_codec = pytest.mark.parametrize('name', CODECS)
FLIP_TEST = dict(flip_test=True, flip_mode='heatmap', shift_heatmap=False)
COCO = dict(from_file='configs/_base_/datasets/coco.py')
MASKED = dict(graph_depth=1, joint_mask='limb', metainfo=COCO, out_channels=17)


@pytest.fixture(autouse=True)
def _setting():
    init_default_scope('mmpose')
    torch.manual_seed(0)


def codec_of(name='udp', size=(48, 64)):
    """A codec for an input of ``size`` (w, h)."""
    heatmap_size = (size[0] // 4, size[1] // 4)
    return dict(CODECS[name], input_size=size, heatmap_size=heatmap_size)


def head_options(size=(48, 64), codec='udp', **options):
    """A head on maps of six channels at a quarter of ``size``."""
    codec = codec_of(codec, size)
    defaults = dict(
        in_channels=6,
        out_channels=5,
        in_featuremap_size=codec['heatmap_size'],
        heatmap_size=codec['heatmap_size'],
        patch_size=(3, 4),
        embed_dims=16,
        depths=(2,),
        num_heads=2,
        loss=dict(type='KeypointMSELoss', use_target_weight=True, loss_weight=0.5),
        decoder=codec,
    )
    return {**defaults, **options}


def small_head(*args, **options):
    return TokenPoseHead(**head_options(*args, **options))


def mirrored(num_keypoints):
    """Flip indices: the first stays, the others swap in pairs."""
    pairs = [n + 1 if n % 2 else n - 1 for n in range(1, num_keypoints)]
    return [0, *(min(n, num_keypoints - 1) for n in pairs)]


def samples_of(codec, num_keypoints, batch=2):
    """Targets as the pipeline makes them, with one keypoint that does not count."""
    generator = np.random.default_rng(0)
    built, found = KEYPOINT_CODECS.build(codec), []
    size = np.array(codec['input_size'])
    for _ in range(batch):
        points = generator.uniform(4, size - 4, (1, num_keypoints, 2))
        visible = np.ones((1, num_keypoints), np.float32)
        visible[0, -1] = 0
        encoded = built.encode(points.astype(np.float32), visible)
        sample = PoseDataSample(
            metainfo=dict(
                flip_indices=mirrored(num_keypoints),
                input_size=codec['input_size'],
                input_center=size / 2.0,
                input_scale=size * 1.0,
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=np.array([[0, 0, *size]], np.float32), bbox_scores=np.ones(1)
        )
        sample.gt_fields = PixelData(heatmaps=torch.tensor(encoded['heatmaps']))
        weights = torch.tensor(encoded['keypoint_weights'])
        sample.gt_instance_labels = InstanceData(keypoint_weights=weights)
        found.append(sample)
    return found


@every_codec
def test_loss(name):
    head = small_head(codec=name).train()
    feats = (torch.randn(2, 6, 16, 12),)
    samples = samples_of(codec_of(name), 5)
    losses = head.loss(feats, samples)
    assert losses.keys() == {'loss_kpt', 'acc_pose'}
    target = torch.stack([sample.gt_fields.heatmaps for sample in samples])
    weight = torch.cat([s.gt_instance_labels.keypoint_weights for s in samples])
    assert (weight == 0).any()
    square = F.mse_loss(head(feats), target, reduction='none')
    by_hand = 0.5 * (square * weight[..., None, None]).mean()
    torch.testing.assert_close(losses['loss_kpt'], by_hand)
    assert 0 <= losses['acc_pose'] <= 1


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(depths=(2, 2, 1)),
        dict(position='learnable', qk_scale='width'),
        dict(position='sine', hidden_channels=64),
        MASKED,
        dict(MASKED, sparse_cfg=dict(mode='token', layers=(0,))),
        dict(MASKED, sparse_cfg=dict(mode='mask', layers=(0,))),
    ],
    ids=['dense', 'three', 'learnable', 'two-linear', 'graph', 'token', 'mask'],
)
def test_loss_reaches_every_parameter(options):
    head = small_head(**options).train()
    head.init_weights()
    samples = samples_of(codec_of(), head.out_channels)
    losses = head.loss((torch.randn(2, 6, 16, 12),), samples)
    losses['loss_kpt'].backward()
    assert losses['loss_kpt'].isfinite()
    assert untaught(head) == []


@torch.no_grad()
@every_codec
def test_predict(name):
    head = small_head(codec=name).eval()
    feats = (torch.randn(2, 6, 16, 12),)
    samples = samples_of(codec_of(name), 5)
    found = head.predict(feats, samples, test_cfg=dict(flip_test=False))
    assert len(found) == 2
    codec = KEYPOINT_CODECS.build(codec_of(name))
    for heatmaps, instances in zip(head(feats), found, strict=True):
        keypoints, scores = codec.decode(heatmaps.numpy())
        np.testing.assert_array_equal(instances.keypoints, keypoints)
        np.testing.assert_array_equal(instances.keypoint_scores, scores)
        assert instances.keypoints.shape == (1, 5, 2)


@torch.no_grad()
@every_codec
def test_flip_test_is_the_mean_of_both(name):
    head = small_head(codec=name).eval()
    feats, flipped = (torch.randn(2, 6, 16, 12),), (torch.randn(2, 6, 16, 12),)
    samples = samples_of(codec_of(name), 5)
    test_cfg = dict(FLIP_TEST, output_heatmaps=True)
    instances, fields = head.predict([feats, flipped], samples, test_cfg=test_cfg)
    mean = (head(feats) + head(flipped).flip(-1)[:, mirrored(5)]) / 2
    torch.testing.assert_close(torch.stack([f.heatmaps for f in fields]), mean)
    keypoints, _ = KEYPOINT_CODECS.build(codec_of(name)).decode(mean[0].numpy())
    np.testing.assert_allclose(instances[0].keypoints, keypoints, atol=1e-4)
    # A shift by one heatmap pixel is another thing, and not hidden in the default.
    shifted = flip_heatmaps(head(flipped), flip_indices=mirrored(5), shift_heatmap=True)
    assert not torch.allclose((head(feats) + shifted) / 2, mean)


@torch.no_grad()
@pytest.mark.parametrize('keypoints', [1, 14, 133])
@pytest.mark.parametrize(
    ('size', 'patch'), [((96, 128), (3, 4)), ((64, 64), (2, 2)), ((72, 96), (6, 4))]
)
def test_keypoint_counts_and_sizes(keypoints, size, patch):
    head = small_head(size, out_channels=keypoints, patch_size=patch).eval()
    width, height = size[0] // 4, size[1] // 4
    feats = (torch.randn(2, 6, height, width),)
    assert head(feats).shape == (2, keypoints, height, width)
    found = head.predict(feats, samples_of(codec_of(size=size), keypoints))
    assert found[0].keypoints.shape == (1, keypoints, 2)


@torch.no_grad()
def test_heatmaps_may_differ_from_the_map_in_size():
    head = small_head(in_featuremap_size=(6, 8), patch_size=(1, 2)).eval()
    assert head((torch.randn(1, 6, 8, 6),)).shape == (1, 5, 16, 12)


BACKBONES = {
    'litehrnet': (
        dict(type='mmpose_lite.LiteHRNet', arch=dict(TINY, unit='ccw')),
        dict(in_channels=8, in_featuremap_size=(24, 32)),
    ),
    'xhrnet': (
        dict(type='XHRNet', arch=dict(TINY, unit='sequential')),
        dict(in_channels=8, in_featuremap_size=(24, 32)),
    ),
    # Several maps: the last counts, at stride 32.
    'resnet': (
        dict(type='ResNet', depth=18, out_indices=(1, 3)),
        dict(in_channels=512, in_featuremap_size=(3, 4), patch_size=(1, 1)),
    ),
    'raw': (
        dict(type='RawImage'),
        dict(in_channels=3, in_featuremap_size=(96, 128), patch_size=(12, 16)),
    ),
}


@pytest.mark.parametrize('name', BACKBONES)
def test_behind_any_backbone(name):
    """A whole estimator of MMPose trains and predicts with flip test."""
    backbone, sizes = BACKBONES[name]
    codec = codec_of(size=(96, 128))
    head = dict(type='TokenPoseHead', **head_options((96, 128), **sizes))
    kind = dict(type='TopdownPoseEstimator', backbone=backbone, head=head)
    model = MODELS.build(dict(kind, test_cfg=FLIP_TEST))
    images, samples = torch.randn(2, 3, 128, 96), samples_of(codec, 5)
    losses = model.train()(images, samples, mode='loss')
    losses['loss_kpt'].backward()
    assert untaught(model) == []
    with torch.no_grad():
        predicted = model.eval()(images, samples, mode='predict')
    for sample in predicted:
        assert sample.pred_instances.keypoints.shape == (1, 5, 2)
        assert np.isfinite(sample.pred_instances.keypoints).all()


def test_initial_weights():
    head = small_head(embed_dims=64, graph_depth=1)
    head.init_weights()
    for name, value in head.named_parameters():
        if name.endswith('norm.weight') or name == 'heatmap_mlp.0.weight':
            assert (value == 1).all(), name
        elif name.endswith('bias'):
            assert (value == 0).all(), name
        else:
            assert value.std().item() == pytest.approx(0.02, rel=0.2), name


@pytest.mark.parametrize('shape', [(6, 12, 16), (6, 16, 16), (7, 16, 12)])
def test_a_map_of_another_size_is_refused(shape):
    sizes = rf'\(6, 16, 12\).*\({", ".join(map(str, shape))}\)'
    with pytest.raises(ValueError, match=sizes):
        small_head()((torch.randn(1, *shape),))
