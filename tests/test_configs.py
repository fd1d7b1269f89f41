"""Every file of ``configs/`` is a test case by existing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, KEYPOINT_CODECS, METRICS, MODELS, TRANSFORMS
from parity import untaught

from mmpose_lite.analysis.complexity import count_macs

CONFIGS = sorted(p for p in ROOT.glob('configs/**/*.py') if p.parent.name[0] != '_')
every_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
FAMILIES = ('litehrnet', 'xhrnet')
# Path → entry in a metafile.
PUBLISHED = {
    ROOT / entry['Config']: entry
    for file in sorted((ROOT / 'configs').glob('*/metafile.yml'))
    for entry in yaml.safe_load(file.read_text())['Models']
}
LIGHT = [p for p in CONFIGS if '210e' in p.stem and p.parent.name in FAMILIES]
SIMCC = [path for path in CONFIGS if path.parent.name == 'simcc']
SIMCC_CONFIG = 'simcc/coco/simcc_mobilenetv2_wo-deconv-8xb64-210e_coco-256x192.py'
RTMCC_CONFIG = 'rtmpose/coco/rtmpose-t_8xb256-420e_coco-256x192.py'
TOKENPOSE = [p for p in CONFIGS if 'tokenpose' in p.stem and '300e' in p.stem]
# Images in all, GPUs times images per GPU, of the official files; S-v1 and B on MPII as
# their sparse forms.
TOKENPOSE_BATCH = {
    ('t', 'coco-256x192'): 4 * 32,
    ('s-v1', 'coco-256x192'): 4 * 32,
    ('s-v2', 'coco-256x192'): 4 * 12,
    ('b', 'coco-256x192'): 4 * 32,
    ('litehrnet-18', 'coco-256x192'): 4 * 32,
    ('l-d6', 'coco-256x192'): 4 * 16,
    ('l-d24', 'coco-256x192'): 4 * 16,
    ('l-d24', 'coco-384x288'): 8 * 32,
    ('l-d6', 'mpii-256x256'): 4 * 16,
    ('s-v1', 'mpii-256x256'): 5 * 16,
    ('b', 'mpii-256x256'): 5 * 16,
}
# Options of the head besides sizes, of everything that is not dense.
PRUNED = dict(mode='mask', keep_ratio=0.6, layers=(3, 6, 9))
GRAPH = dict(graph_depth=8, joint_mask={'coco': 'limb', 'mpii': 'skeleton'})
SPARSE = {
    'sparse': dict(sparse_cfg=PRUNED, **GRAPH),
    'prune': dict(sparse_cfg=PRUNED),
    'graph': dict(graph_depth=8),
    'graph-mask': GRAPH,
    'token': dict(sparse_cfg=dict(PRUNED, mode='token')),
    'shared': dict(sparse_cfg=dict(PRUNED, mode='shared', queries='keypoint')),
}


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpose')


def size_in_name(path: Path) -> tuple[int, int]:
    """(H, W) as the file name says."""
    return tuple(int(n) for n in re.search(r'-(\d+)x(\d+)$', path.stem).groups())


def batch_in_name(path: Path) -> tuple[int, int, int]:
    """GPUs, images per GPU and epochs as the file name says."""
    found = re.search(r'[_-](\d+)xb(\d+)-(\d+)e_', path.stem)
    return tuple(int(n) for n in found.groups())


def plain(codec: dict) -> dict:
    """Without mmengine's notes of where it comes from."""
    return {key: value for key, value in codec.items() if key[0] != '_'}


def output_shapes(cfg: Config) -> list[tuple[int, ...]]:
    """Of one image: a map of a quarter per keypoint, or vectors along x and y."""
    (width, height), count = cfg.codec.input_size, cfg.model.head.out_channels
    if cfg.codec.type == 'SimCCLabel':
        ratio = cfg.codec.simcc_split_ratio
        return [(1, count, int(ratio * side)) for side in (width, height)]
    return [(1, count, height // 4, width // 4)]


@every_config
def test_config_is_consistent_with_its_name(path):
    cfg = Config.fromfile(path)
    height, width = size_in_name(path)
    assert tuple(cfg.codec.input_size) == (width, height)
    if cfg.codec.type == 'SimCCLabel':
        assert tuple(cfg.model.head.input_size) == (width, height)
        assert cfg.model.head.simcc_split_ratio == cfg.codec.simcc_split_ratio
    else:
        assert tuple(cfg.codec.heatmap_size) == (width // 4, height // 4)
    assert plain(cfg.model.head.decoder) == plain(cfg.codec)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for step in loader.dataset.pipeline:
            if step.type == 'TopdownAffine':
                assert tuple(step.input_size) == (width, height)
                udp = cfg.codec.type.endswith('UDPHeatmap')
                # PP-TinyPose warps like UDP, but its heatmaps do not reach as far.
                tinypose = cfg.codec.get('unbiased', False)
                assert step.get('use_udp', False) == (udp or tinypose)
                shifts = cfg.model.test_cfg.get('shift_heatmap', False)
                if cfg.codec.type == 'SimCCLabel':
                    assert not shifts
                elif cfg.model.test_cfg.flip_test:
                    assert shifts != udp
            elif step.type == 'GenerateTarget':
                assert plain(step.encoder) == plain(cfg.codec)
    images, epochs = batch_in_name(path)[1:]
    assert cfg.train_dataloader.batch_size == images
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.custom_imports.imports == ['mmpose_lite']


@every_config
def test_config_builds_and_predicts(path):
    """Model, pipeline and evaluator build; shapes, size and cost are as published."""
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model).eval()
    KEYPOINT_CODECS.build(cfg.codec)
    for step in cfg.train_dataloader.dataset.pipeline:
        TRANSFORMS.build(step)
    evaluators = cfg.val_evaluator
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        METRICS.get(evaluator['type'])
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.type.startswith('mmpose_lite.')  # explains its errors
        assert DATASETS.get(loader.dataset.type) is not None
    image, found = torch.zeros(1, 3, *size_in_name(path)), []
    with torch.no_grad():
        macs = count_macs(lambda: found.append(model(image, None)))
    maps = found[0] if isinstance(found[0], tuple) else found
    assert [tuple(one.shape) for one in maps] == output_shapes(cfg)
    if path in PUBLISHED:
        data = PUBLISHED[path]['Metadata']
        assert data['Input Size'] == '{}x{}'.format(*size_in_name(path))
        params = sum(parameter.numel() for parameter in model.parameters())
        assert (params, macs) == (data['Parameters'], data['MACs'])


@pytest.mark.parametrize('path', LIGHT, ids=lambda path: path.stem)
def test_published_recipe(path):
    """The light families' official recipe, as far as the base could have another."""
    cfg = Config.fromfile(path)
    assert plain(cfg.optim_wrapper.optimizer) == dict(type='Adam', lr=2e-3)
    warmup, steps = cfg.param_scheduler
    assert (warmup.start_factor, warmup.end, warmup.by_epoch) == (0.001, 500, False)
    assert (list(steps.milestones), steps.gamma) == ([170, 200], 0.1)
    mpii = 'mpii' in path.stem
    assert cfg.train_cfg.val_interval == (5 if mpii else 10)
    assert cfg.codec.sigma == {384: 3, 256: 2, 128: 1}[size_in_name(path)[0]]
    assert 'init_cfg' not in cfg.model.backbone
    steps = {s.type: s for s in cfg.train_dataloader.dataset.pipeline}
    assert steps['RandomBBoxTransform'].rotate_factor == 60
    assert tuple(steps['RandomBBoxTransform'].scale_factor) == (0.75, 1.25)
    assert ('RandomHalfBody' in steps) != mpii
    if mpii:
        assert steps['RandomBBoxTransform'].shift_prob == 0
    else:
        for loader in (cfg.val_dataloader, cfg.test_dataloader):
            assert 'AP_H_56' in loader.dataset.bbox_file
    assert cfg.model.head.loss.use_target_weight
    assert cfg.model.test_cfg.flip_test


every_tokenpose = pytest.mark.parametrize('path', TOKENPOSE, ids=lambda path: path.stem)


def tokenpose_name(path: Path) -> tuple[str, str | None, str]:
    """Variant, what makes it sparse, and data of a TokenPose config."""
    return re.fullmatch(
        rf'td-hm_tokenpose-(.+?)(?:-({"|".join(SPARSE)}))?_udp-.+e_(.+)', path.stem
    ).groups()


@every_tokenpose
def test_tokenpose_recipe(path):
    """The official recipe on both data sets, from batch to flip test."""
    cfg = Config.fromfile(path)
    variant, _, data = tokenpose_name(path)
    gpus, images, epochs = batch_in_name(path)
    assert TOKENPOSE_BATCH[variant, data] == gpus * images
    assert cfg.auto_scale_lr.base_batch_size == gpus * images
    assert epochs == 300
    assert plain(cfg.optim_wrapper) == dict(optimizer=cfg.optim_wrapper.optimizer)
    assert plain(cfg.optim_wrapper.optimizer) == dict(type='Adam', lr=1e-3)
    (schedule,) = cfg.param_scheduler
    assert (schedule.type, schedule.by_epoch) == ('MultiStepLR', True)
    assert (list(schedule.milestones), schedule.gamma) == ([200, 260], 0.1)
    assert plain(cfg.model.head.loss) == dict(
        type='KeypointMSELoss', use_target_weight=True, loss_weight=0.5
    )
    sigma = 3 if '384' in data else 2
    # On square inputs both are the same.
    codec = 'UDPHeatmap' if data.startswith('mpii') else 'CenteredUDPHeatmap'
    assert (cfg.codec.type, cfg.codec.sigma) == (codec, sigma)
    assert cfg.model.test_cfg.flip_test
    assert not cfg.model.test_cfg.shift_heatmap


@every_tokenpose
def test_tokenpose_augmentation(path):
    cfg = Config.fromfile(path)
    mpii = tokenpose_name(path)[2].startswith('mpii')
    pipeline = cfg.train_dataloader.dataset.pipeline
    steps = {step.type: TRANSFORMS.build(step) for step in pipeline}
    boxes = steps['RandomBBoxTransform']
    assert (boxes.shift_prob, boxes.scale_prob, boxes.rotate_prob) == (0, 1, 0.6)
    assert boxes.scale_factor == ((0.75, 1.25) if mpii else (0.65, 1.35))
    assert boxes.rotate_factor == (60 if mpii else 90)
    assert steps['GetBBoxCenterScale'].padding == 1.25
    assert steps['RandomFlip'].prob == 0.5
    assert ('RandomHalfBody' in steps) != mpii
    if not mpii:
        half = steps['RandomHalfBody']
        assert (half.prob, half.min_total_keypoints, half.padding) == (0.3, 9, 1.5)
        for loader in (cfg.val_dataloader, cfg.test_dataloader):
            assert 'AP_H_56' in loader.dataset.bbox_file


@every_tokenpose
def test_tokenpose_variant(path):
    """Weights to begin with, scaling of attention, and what is sparse."""
    cfg = Config.fromfile(path)
    variant, sparse, data = tokenpose_name(path)
    pretrained = {'b': 'hrnet_w32', 'l-d6': 'hrnet_w48', 'l-d24': 'hrnet_w48'}
    init = cfg.model.backbone.get('init_cfg')
    if variant in pretrained:
        assert init.type == 'Pretrained'
        assert pretrained[variant] in init.checkpoint
    else:
        assert 'checkpoint' not in str(init)
    if variant in ('s-v1', 's-v2'):
        model = MODELS.build(cfg.model)
        model.init_weights()
        for conv in (model.backbone.conv1, model.backbone.layer1[3].conv2):
            assert conv.weight.std().item() == pytest.approx(0.001, rel=0.1)
    qk_scale = 'width' if variant in ('s-v1', 's-v2') else None
    assert cfg.model.head.get('qk_scale') == qk_scale
    expected = dict(SPARSE.get(sparse, {}))
    if 'joint_mask' in expected:
        name = data.split('-')[0]
        expected['joint_mask'] = expected['joint_mask'][name]
        expected['metainfo'] = dict(from_file=f'configs/_base_/datasets/{name}.py')
    options = ('sparse_cfg', 'graph_depth', 'joint_mask', 'metainfo')
    assert {k: v for k, v in cfg.model.head.items() if k in options} == expected


@pytest.mark.parametrize('path', SIMCC, ids=lambda path: path.stem)
def test_every_parameter_behind_a_modern_head_learns(path):
    """Heads read what of a network they need; nothing of it may be left over."""
    cfg = Config.fromfile(path)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    outputs = model(torch.rand(2, 3, *size_in_name(path)), None)
    sum((one * torch.randn_like(one)).sum() for one in outputs).backward()
    assert untaught(model) == []


@pytest.mark.parametrize('path', SIMCC, ids=lambda path: path.stem)
def test_modern_heads_are_those_of_mmpose(path):
    """Labels and losses as in MMPose's own SimCC and RTMPose configs."""
    cfg = Config.fromfile(path)
    simple = path.stem.startswith('simcc_')
    head, codec = cfg.model.head, cfg.codec
    assert head.type == ('SimCCHead' if simple else 'RTMCCHead')
    assert head.loss.type == 'KLDiscretLoss'
    theirs = SIMCC_CONFIG if simple else RTMCC_CONFIG
    base = get_config(f'mmpose::body_2d_keypoint/{theirs}')
    assert plain(head.loss) == plain(base.model.head.loss)
    assert head.get('gau_cfg') == base.model.head.get('gau_cfg')
    assert codec.get('normalize') == base.codec.get('normalize')
    # Deviations grow with the square root of the size.
    smaller = (codec.input_size[0] / base.codec.input_size[0]) ** 0.5
    sigmas = [torch.tensor(one.sigma) for one in (codec, base.codec)]
    torch.testing.assert_close(sigmas[0], sigmas[1] * smaller, rtol=2e-3, atol=0)


def test_a_bare_name_finds_one_config():
    """File stems are unique, so that a bare name finds one config."""
    stems = [path.stem for path in CONFIGS]
    assert len(stems) == len(set(stems))
