"""What is shown of every family, and that models are left as they were."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from explain_models import (
    BACKBONES,
    HEIGHT,
    WHOLE,
    WIDTH,
    build,
    heatmap_model,
    scene,
    token_model,
)
from torch import nn

from mmpose_lite.explain import draw_explanation, explain, families
from mmpose_lite.explain.family import FAMILIES
from mmpose_lite.explain.panels import Explanation

ALL = [*BACKBONES, 'mask']


def model_of(name, **options):
    return (heatmap_model if name in BACKBONES else token_model)(name, **options)


def hooks_of(model):
    return [
        name
        for name, module in model.named_modules()
        if module._forward_hooks or module._forward_pre_hooks
    ]


def titles(found):
    return ' | '.join(section.title for section in found.sections)


@pytest.mark.parametrize('name', ALL)
def test_model_is_left_as_it_was(name):
    model = model_of(name, flip_test=True)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    settings = dict(model.test_cfg)
    explain(model, scene())
    assert hooks_of(model) == []
    assert model.test_cfg == settings
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize('name', ALL)
def test_hooks_are_gone_after_an_error(name):
    model = model_of(name)
    predict, seen = model.head.predict, []

    def failing(*args, **kwargs):
        seen.extend(hooks_of(model))
        predict(*args, **kwargs)
        raise RuntimeError('on purpose')

    model.head.predict = failing
    with pytest.raises(RuntimeError, match='on purpose'):
        explain(model, scene())
    assert len(seen) > 5, 'there were hooks while it ran'
    assert hooks_of(model) == []


@pytest.mark.parametrize(
    ('name', 'family', 'title'),
    [
        ('X-HRNet sequential', 'X-HRNet', 'Row and column gates'),
        ('X-HRNet parallel', 'X-HRNet', 'Row and column gates'),
        ('PSA parallel', 'Polarized self-attention', 'Spatial and channel gates'),
        ('PSA paper', 'Polarized self-attention', 'Spatial and channel gates'),
        ('Lite-HRNet', 'Lite-HRNet', 'Cross-resolution and spatial weights'),
    ],
)
def test_sections_of_gates(name, family, title):
    model = heatmap_model(name)
    assert families(model) == [family]
    found = explain(model, scene())
    assert found.crop.shape == (HEIGHT, WIDTH, 3)
    first, highest, last = found.sections
    assert first.title == 'Prediction and heatmaps'
    assert [panel.marks for panel in first.panels[2:]] == [[0], [5], [11], [16]]
    assert title in highest.title
    assert title in last.title
    sizes = [panel.heat.shape for panel in last.panels]
    assert sizes == sorted(sizes, reverse=True) or family == 'Lite-HRNet'
    assert len(last.panels) == (4 if family.startswith('Polar') else 3)
    assert len(highest.panels) == 3


def test_crop_is_what_the_network_saw():
    found = explain(token_model('token'), scene(), WHOLE)
    assert np.abs(found.crop.astype(int) - scene()).max() <= 1
    assert found.points.shape == (17, 3)


def test_heatmaps_are_the_model_s_own():
    model = heatmap_model('Lite-HRNet')
    kept = []
    model.head.final_layer.register_forward_hook(lambda _, __, out: kept.append(out[0]))
    found = explain(model, scene(), keypoints=['nose', 'left_knee'])
    panels, expected = found.sections[0].panels, kept[0].detach().numpy()
    assert np.allclose(panels[1].heat, expected.max(axis=0))
    assert np.allclose(panels[2].heat, expected[0])
    assert np.allclose(panels[3].heat, expected[13])
    assert panels[3].title.startswith('left knee')
    # Points lie where heatmaps peak; the codec moves them by a quarter of a pixel.
    rows, columns = np.unravel_index(expected.reshape(17, -1).argmax(1), (32, 24))
    clear = expected.max(axis=(1, 2)) > 0  # else the codec finds nothing
    assert clear.any()
    peaks = 4 * np.stack([columns, rows], axis=1)
    assert np.abs(found.points[:, :2] - peaks)[clear].max() <= 1.5


def test_sections_of_tokenpose():
    found = explain(token_model('mask'), scene(), None, ['nose', 'left_hip'])
    assert titles(found).startswith(
        'Prediction and heatmaps | Attention of the keypoint token “nose” | '
        'Attention of the keypoint token “left hip” | '
        'Attention of the patch below “nose” | Attention of the patch below “left hip” '
        '| Attention among keypoints, encoder layers | '
        'What the patch below “nose” may see, mode mask'
    )
    # Before the first choice no patch is pruned.
    layers = [panel.title.split('\n')[0] for panel in found.sections[3].panels]
    assert layers == ['layer 2', 'layer 3', 'layer 4', 'layer 5']
    dense = titles(explain(token_model(), scene()))
    assert 'patch below' not in dense
    assert dense.count('keypoint token') == 4


def test_tokenpose_behind_litehrnet_shows_both():
    head = dict(
        type='mmpose_lite.TokenPoseHead', in_channels=8, out_channels=17,
        in_featuremap_size=(24, 32), heatmap_size=(24, 32), patch_size=(4, 4),
        embed_dims=32, depths=(2,), num_heads=2,
    )  # fmt: skip
    model = build(BACKBONES['Lite-HRNet'][0], head)
    assert families(model) == ['TokenPose', 'Lite-HRNet']
    assert 'keypoint token' in titles(explain(model, scene()))
    assert 'Cross-resolution' in titles(explain(model, scene()))
    assert 'Cross' not in titles(explain(model, scene(), only=['TokenPose']))


def test_architecture_is_drawn_for_hrnas():
    space = dict(
        channels=((8,), (8, 16)), num_blocks=((1,), (1, 1)), stem_channels=(8, 8),
        head_channels=16,
    )  # fmt: skip
    head = dict(
        type='HeatmapHead', in_channels=16, out_channels=17, deconv_out_channels=None
    )
    model = build(dict(type='mmpose_lite.HRNASNet', space=space), head)
    found = explain(model, scene())
    assert families(model) == ['HR-NAS']
    (picture,) = found.pictures
    assert picture.shape[2] == 3
    drawn = draw_explanation(found, model.dataset_meta, 'a', 'b')
    bare = Explanation(found.crop, found.points, found.sections)
    alone = draw_explanation(bare, model.dataset_meta, 'a', 'b')
    assert drawn.shape[0] > alone.shape[0] + 100


def test_models_and_arguments_that_cannot_be_explained():
    model = heatmap_model('Lite-HRNet')
    with pytest.raises(ValueError, match=r"keypoints must be among .*, got \['tail'\]"):
        explain(model, scene(), keypoints=['nose', 'tail'])
    with pytest.raises(ValueError, match=r"only must be .*'Lite-HRNet'.*got \['PSA'\]"):
        explain(model, scene(), only=['PSA'])
    with pytest.raises(ValueError, match='box must have x1 < x2 and y1 < y2, got'):
        explain(model, scene(), [500, 500, 100, 100])
    with pytest.raises(ValueError, match='model must be top-down, got a Linear'):
        explain(nn.Linear(1, 1), scene())
    # MMPose ends this with a bare AssertionError in its flip test.
    other = heatmap_model('Lite-HRNet', count=4, flip_test=True)
    with pytest.raises(ValueError, match=r"the 17 keypoints of .*'coco'.*Head of 4"):
        explain(other, scene())


def test_families_are_known_by_parts_of_their_own():
    assert len({row.part for row in FAMILIES.values()}) == len(FAMILIES)


def test_nothing_is_drawn_where_nothing_is_to_be_drawn():
    code = (
        'import sys, mmpose_lite.explain.panels, mmpose_lite.explain.record;'
        'assert "matplotlib" not in sys.modules'
    )
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)
