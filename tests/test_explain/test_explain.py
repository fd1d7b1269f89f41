import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import importlib.util

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmpose.apis import init_model
from torch import nn

from mmpose_lite.data import render_toy_image
from mmpose_lite.explain import gates
from mmpose_lite.explain.explain import EXPLAINERS, explain, families, find_part
from mmpose_lite.explain.explain_figure import draw_explanation
from mmpose_lite.explain.panels import Explanation, Panel, Section
from mmpose_lite.explain.recording import recorded
from mmpose_lite.explain.token_attention import attention_parts, head_attention
from mmpose_lite.models.layers import ConditionalChannelWeighting

WIDTH, HEIGHT = 96, 128
CHANNELS = ((8, 16), (8, 16, 32))
ARCH = dict(num_modules=(1, 2), channels=CHANNELS, num_blocks=2)
PSA_BRANCHES = ((16, 32), (16, 32, 64), (16, 32, 64, 128))
HRNAS = dict(
    channels=((8,), (8, 16)), num_blocks=((1,), (1, 1)), stem_channels=(8, 8),
    head_channels=16,
)  # fmt: skip


def psa_hrnet(**options):
    stages = {
        f'stage{k + 2}': dict(
            num_modules=1,
            num_branches=len(channels),
            block='BASIC',
            num_blocks=(1,) * len(channels),
            num_channels=channels,
        )
        for k, channels in enumerate(PSA_BRANCHES)
    }
    first = dict(
        num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(1,),
        num_channels=(16,),
    )  # fmt: skip
    extra = dict(stage1=first, **stages)
    return dict(type='mmpose_lite.PSAHRNet', in_channels=3, extra=extra, **options)


def lite(kind, unit, **options):
    return dict(type=f'mmpose_lite.{kind}', arch=dict(unit=unit, **ARCH), **options)


BACKBONES = {
    'X-HRNet sequential': (lite('XHRNet', 'sequential', max_size=(40, 40)), 8),
    'X-HRNet parallel': (lite('XHRNet', 'parallel', max_size=(40, 40)), 8),
    'Lite-HRNet': (lite('LiteHRNet', 'ccw'), 8),
    'PSA parallel': (psa_hrnet(), 16),
    'PSA sequential': (psa_hrnet(layout='sequential'), 16),
    'PSA paper': (psa_hrnet(layout='sequential', variant='paper'), 16),
}


def build(backbone, head=None, flip_test=False):
    codec = dict(
        type='MSRAHeatmap',
        input_size=(WIDTH, HEIGHT),
        heatmap_size=(WIDTH // 4, HEIGHT // 4),
        sigma=1,
    )
    steps = [dict(type=name) for name in ('LoadImage', 'GetBBoxCenterScale')]
    steps += [
        dict(type='TopdownAffine', input_size=codec['input_size']),
        dict(type='PackPoseInputs'),
    ]
    loader = dict(dataset=dict(type='CocoDataset', pipeline=steps))
    torch.manual_seed(0)
    model = init_model(
        Config(
            dict(
                model=dict(
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
                ),
                train_dataloader=loader,
                test_dataloader=loader,
            )
        ),
        device='cpu',
    )
    return model.eval()


def heatmap_model(name, **options):
    backbone, channels = BACKBONES[name]
    head = dict(
        type='HeatmapHead', in_channels=channels, out_channels=17,
        deconv_out_channels=None,
    )  # fmt: skip
    return build(backbone, head, **options)


def token_model(flip_test=False, depths=(6,), **options):
    return build(
        dict(type='mmpose_lite.RawImage'),
        dict(
            type='mmpose_lite.TokenPoseHead',
            in_channels=3,
            out_channels=17,
            in_featuremap_size=(WIDTH, HEIGHT),
            heatmap_size=(WIDTH // 4, HEIGHT // 4),
            patch_size=(16, 16),
            embed_dims=32,
            depths=depths,
            num_heads=2,
            **options,
        ),
        flip_test,
    )


@pytest.fixture(scope='module')
def scene():
    return render_toy_image(0, 'val', 0, (WIDTH, HEIGHT), max_persons=1).image


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


@pytest.mark.parametrize('name', SPARSE)
def test_recomputed_attention_gives_what_the_layer_gave(name):
    """Probabilities times values are the input of the layer's last projection."""
    model = token_model(**SPARSE[name])
    # Sharper than at the start, where a wrong mask would hardly show.
    for layer in (m for m in model.head.modules() if isinstance(m, nn.Linear)):
        nn.init.normal_(layer.weight, std=0.3)
    image = torch.randn(1, 3, HEIGHT, WIDTH)
    with recorded(attention_parts(model.head)) as calls, torch.no_grad():
        model.head((image,))
    layers = head_attention(model.head, calls)
    assert len(layers) == 6 + len(model.head.graph_layers)
    for key, one in layers.items():
        expected = calls[f'{key}.out'].input[0]
        assert one.heads.shape == expected.shape, key
        assert (one.heads - expected).abs().max() < 1e-4 * expected.abs().max(), key
        assert torch.allclose(one.probabilities.sum(-1), torch.ones(()), atol=1e-5)


def test_dropped_tokens_are_blank_where_they_lay():
    model = token_model(**SPARSE['token'])
    with recorded(attention_parts(model.head)) as calls, torch.no_grad():
        model.head((torch.randn(1, 3, HEIGHT, WIDTH),))
    layers = head_attention(model.head, calls)
    first = calls['choice.1'].output[0]
    left = first[calls['choice.3'].output[0]]
    # The layer that chooses still sees all; those after it what was kept.
    for key, kept in {'1': torch.arange(48), '3': first, '5': left}.items():
        seen = layers[key].on_grid(0, 48)
        assert torch.equal((~seen.isnan()).nonzero()[:, 0], kept), key
    assert len(left) < len(first) < 48


def test_pruned_connections_are_blank_for_patches_only():
    model = token_model(**SPARSE['mask'])
    with recorded(attention_parts(model.head)) as calls, torch.no_grad():
        model.head((torch.randn(1, 3, HEIGHT, WIDTH),))
    one = head_attention(model.head, calls)['4']
    kept = calls['choice.3'].output[0]
    for patch in (0, 30):
        assert torch.equal(~one.on_grid(17 + patch, 48).isnan(), kept[patch])
    assert not one.on_grid(3, 48).isnan().any()


@pytest.mark.parametrize('name', ['X-HRNet sequential', 'X-HRNet parallel'])
def test_gates_times_input_are_what_susa_gave(name, scene):
    model = heatmap_model(name)
    parts = gates.susa_parts(model)
    with recorded(parts) as calls, torch.no_grad():
        model.backbone(torch.randn(1, 3, HEIGHT, WIDTH))
    found = gates.modules_of(model, EXPLAINERS['X-HRNet'].part)
    assert len(found) > 10
    for key, module in found.items():
        gate = gates.susa_gate(calls, key)
        assert gate.shape[5 - module.dim] == 1
        expected = calls[key].output
        assert torch.allclose(calls[key].input * gate, expected, atol=1e-6)
        share = expected.abs().sum((1, 5 - module.dim))
        share = share / calls[key].input.abs().sum((1, 5 - module.dim))
        assert np.allclose(gates.susa_profile(calls, key), share[0], atol=1e-4)


@pytest.mark.parametrize('name', ['PSA parallel', 'PSA sequential', 'PSA paper'])
def test_gates_times_input_are_what_psa_gave(name):
    model = heatmap_model(name)
    parts = gates.psa_parts(model)
    with recorded(parts) as calls, torch.no_grad():
        model.backbone(torch.randn(1, 3, HEIGHT, WIDTH))
    assert len(parts) == 9
    for key, module in parts.items():
        x = calls[key].input
        by_channel, by_place = gates.psa_gates(module, x)
        found = x * by_channel + x * by_place
        if name != 'PSA parallel':
            found = x * by_channel * by_place
        assert torch.allclose(found, calls[key].output, atol=1e-5)


def test_weights_are_those_of_conditional_channel_weighting():
    model = heatmap_model('Lite-HRNet')
    name, module = list(gates.modules_of(model, ConditionalChannelWeighting).items())[
        -1
    ]
    watched = {
        **gates.ccw_parts(model),
        **{f'in{i}': conv for i, conv in enumerate(module.depthwise_convs)},
        **{f'out{i}': one for i, one in enumerate(module.spatial_weighting)},
    }
    inputs = []
    module.register_forward_pre_hook(lambda _, args: inputs.append(list(args[0])))
    with recorded(watched) as calls, torch.no_grad():
        model.backbone(torch.randn(1, 3, HEIGHT, WIDTH))
    for i, (cross, spatial) in enumerate(gates.ccw_weights(module, calls, name)):
        changed = inputs[0][i].chunk(2, dim=1)[1]
        stretched = nn.functional.interpolate(cross, changed.shape[-2:])
        assert torch.allclose(changed * stretched, calls[f'in{i}'].input, atol=1e-6)
        assert torch.allclose(
            calls[f'out{i}'].input * spatial, calls[f'out{i}'].output, atol=1e-6
        )


def hooks_of(model):
    return [
        name
        for name, module in model.named_modules()
        if module._forward_hooks or module._forward_pre_hooks
    ]


@pytest.mark.parametrize('name', [*BACKBONES, 'TokenPose'])
def test_model_is_left_as_it_was_found(name, scene):
    if name == 'TokenPose':
        model = token_model(flip_test=True, **SPARSE['mask'])
    else:
        model = heatmap_model(name, flip_test=True)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    explain(model, scene)
    assert hooks_of(model) == []
    assert model.test_cfg['output_heatmaps'] is False
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize('name', [*BACKBONES, 'TokenPose'])
def test_hooks_are_gone_after_an_error(name, scene):
    model = token_model() if name == 'TokenPose' else heatmap_model(name)
    forward, seen = model.head.predict, []

    def failing(*args, **kwargs):
        seen.extend(hooks_of(model))
        forward(*args, **kwargs)
        raise RuntimeError('on purpose')

    model.head.predict = failing
    with pytest.raises(RuntimeError, match='on purpose'):
        explain(model, scene)
    assert len(seen) > 5, 'there were hooks while it ran'
    assert hooks_of(model) == []
    assert model.test_cfg['output_heatmaps'] is False


def titles(explanation):
    return ' | '.join(section.title for section in explanation.sections)


@pytest.mark.parametrize(
    ('name', 'family', 'title'),
    [
        ('X-HRNet sequential', 'X-HRNet', 'Row and column gates'),
        ('X-HRNet parallel', 'X-HRNet', 'Row and column gates'),
        ('Lite-HRNet', 'Lite-HRNet', 'Cross-resolution and spatial weights'),
        ('PSA parallel', 'Polarized self-attention', 'Spatial and channel gates'),
    ],
)
def test_sections_of_a_family(name, family, title, scene):
    model = heatmap_model(name)
    assert families(model) == [family]
    found = explain(model, scene)
    assert found.crop.shape == (HEIGHT, WIDTH, 3)
    first, *others = found.sections
    assert first.title == 'Prediction and heatmaps'
    assert [panel.marks for panel in first.panels[2:]] == [[0], [5], [11], [16]]
    assert [title in section.title for section in others] == [True, True]
    highest, last = others
    sizes = [panel.heat.shape for panel in last.panels]
    assert sizes == sorted(sizes, reverse=True) or family == 'Lite-HRNet'
    levels = 4 if family.startswith('Polar') else 3
    assert len(last.panels) == levels
    assert len(highest.panels) == 3


def test_heatmaps_are_the_model_s_own(scene):
    model = heatmap_model('Lite-HRNet')
    kept = []
    model.head.final_layer.register_forward_hook(lambda _, __, out: kept.append(out[0]))
    panels = explain(model, scene, keypoints=['nose', 'left_knee']).sections[0].panels
    expected = kept[0].detach().numpy()
    assert np.allclose(panels[1].heat, expected.max(axis=0))
    assert np.allclose(panels[2].heat, expected[0])
    assert np.allclose(panels[3].heat, expected[13])
    assert panels[3].title.startswith('left knee')


def test_sections_of_tokenpose(scene):
    found = explain(
        token_model(**SPARSE['mask']), scene, keypoints=['nose', 'left_hip']
    )
    assert titles(found) == (
        'Prediction and heatmaps | Attention of the keypoint token “nose” | '
        'Attention of the keypoint token “left hip” | '
        'Attention of the patch below “nose” | Attention of the patch below “left hip” '
        '| Attention among keypoints, encoder layers'
    )
    # Before the first choice no patch is pruned.
    layers = [panel.title.split('\n')[0] for panel in found.sections[3].panels]
    assert layers == ['layer 2', 'layer 3', 'layer 4', 'layer 5']
    dense = titles(explain(token_model(), scene))
    assert 'patch below' not in dense
    assert dense.count('keypoint token') == 4
    assert 'graph layers' in titles(explain(token_model(**SPARSE['graph']), scene))


def test_tokenpose_behind_litehrnet_shows_both(scene):
    head = dict(
        type='mmpose_lite.TokenPoseHead', in_channels=8, out_channels=17,
        in_featuremap_size=(24, 32), heatmap_size=(24, 32), patch_size=(4, 4),
        embed_dims=32, depths=(2,), num_heads=2,
    )  # fmt: skip
    model = build(BACKBONES['Lite-HRNet'][0], head)
    assert families(model) == ['TokenPose', 'Lite-HRNet']
    assert 'keypoint token' in titles(explain(model, scene))
    assert 'Cross-resolution' in titles(explain(model, scene))


def test_architecture_is_drawn_for_hrnas(scene):
    backbone = dict(type='mmpose_lite.HRNASNet', space=HRNAS)
    head = dict(
        type='HeatmapHead', in_channels=16, out_channels=17, deconv_out_channels=None
    )
    model = build(backbone, head)
    found = explain(model, scene)
    assert families(model) == ['HR-NAS']
    (picture,) = found.pictures
    assert picture.shape[2] == 3
    drawn = draw_explanation(found, model.dataset_meta, 'a', 'b')
    bare = Explanation(found.crop, found.keypoints, found.sections)
    alone = draw_explanation(bare, model.dataset_meta, 'a', 'b')
    assert drawn.shape[0] > alone.shape[0] + 100


def test_unknown_keypoint(scene):
    with pytest.raises(ValueError, match=r"keypoints must be among .*, got \['tail'\]"):
        explain(heatmap_model('Lite-HRNet'), scene, keypoints=['nose', 'tail'])


META = dict(skeleton_links=[(0, 1)], skeleton_link_colors=np.array([[0, 255, 0]]))


def page(*panels, score=0.9):
    """The pixels of a page with white crops, and its first panel's."""
    crop = np.full((60, 40, 3), 255, np.uint8)
    points = np.array([[10, 50, 0.9], [30, 50, score]])
    found = Explanation(crop, points, [Section('section', panels)])
    return draw_explanation(found, META, 'title').astype(int)


def test_heat_is_dark_where_small_and_grey_where_pruned():
    heat = np.array([[0.0, 1.0], [np.nan, 0.5]])
    drawn, blank = page(Panel('one', heat)), page(Panel('one'))
    ys, xs = np.nonzero(np.abs(drawn - blank).sum(axis=2))
    inside = drawn[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    height, width = inside.shape[:2]
    assert height / width == pytest.approx(1.5, rel=0.05)
    least, most = inside[height // 4, width // 4], inside[height // 4, width * 3 // 4]
    grey = inside[height * 3 // 4, width // 4]
    assert np.abs(grey - np.array([230, 224, 222])).max() < 12
    assert np.abs(least - grey).max() > 15
    assert most[2] > most[0]  # bright end of the colours: yellow, not blue
    assert len({tuple(pixel) for pixel in (least, most, grey)}) == 3


def test_strips_areas_and_links_are_drawn():
    heat = np.ones((3, 2))
    plain = page(Panel('one', heat))
    strips = page(Panel('one', heat, rows=np.arange(3.0), columns=np.arange(2.0)))
    assert not np.array_equal(plain[: len(strips)], strips[: len(plain)])
    full, half = (page(Panel('one', bars=np.full(8, share))) for share in (1.0, 0.5))
    purple = [(np.abs(p - [122, 42, 123]).sum(axis=2) < 6).sum() for p in (full, half)]
    assert purple[0] == pytest.approx(2 * purple[1], rel=0.1)
    links = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert np.abs(page(Panel('one', links=links)) - page(Panel('one'))).max() > 50


def test_skeleton_needs_sure_joints():
    def green(picture):
        return ((picture[..., 1] - picture[..., [0, 2]].max(axis=2)) > 150).sum()

    assert green(page(Panel('one', skeleton=True))) > 20
    assert green(page(Panel('one', skeleton=True), score=0.1)) == 0


@pytest.fixture(scope='module')
def tool():
    path = ROOT / 'tools' / 'explain.py'
    spec = importlib.util.spec_from_file_location('explain_tool', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tool_writes_a_picture(tool, scene, tmp_path, monkeypatch, capsys):
    cv2.imwrite(str(tmp_path / 'scene.png'), scene)
    out = tmp_path / 'new' / 'explained.png'
    words = ['explain.py', tmp_path / 'scene.png', '--model', 'tinypose-128x96']
    words += ['--out', out, '--device', 'cpu', '--keypoints', 'nose']
    monkeypatch.setattr('sys.argv', list(map(str, words)))
    tool.main()
    assert str(out) in capsys.readouterr().out
    assert cv2.imread(str(out)).std() > 5


@pytest.mark.parametrize(
    ('image', 'options', 'message'),
    [
        ('none.png', [], 'no image, folder'),
        ('scene.png', ['--keypoints', 'tail'], 'keypoints must be among'),
        ('scene.png', ['--model', 'tinypose'], 'nearest: tinypose-128x96'),
        ('scene.png', ['--weights', 'none.pth'], 'none.pth'),
    ],
)
def test_tool_says_what_is_wrong(
    tool, scene, tmp_path, monkeypatch, image, options, message
):
    cv2.imwrite(str(tmp_path / 'scene.png'), scene)
    words = ['explain.py', tmp_path / image, '--model', 'tinypose-128x96', *options]
    words += ['--out', tmp_path / 'explained.png', '--device', 'cpu']
    monkeypatch.setattr('sys.argv', list(map(str, words)))
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        tool.main()
    assert not (tmp_path / 'explained.png').exists()


def test_every_family_of_the_table_has_parts_of_its_own():
    model = heatmap_model('Lite-HRNet')
    assert isinstance(
        find_part(model, ConditionalChannelWeighting), ConditionalChannelWeighting
    )
    assert len({row.part for row in EXPLAINERS.values()}) == len(EXPLAINERS)


@pytest.mark.parametrize(
    ('values', 'text'),
    [
        ([0.25, 0.5], '0.25 to 0.50'),
        ([0.501, 0.504], '0.501 to 0.504'),
        ([0.5, 0.5], '0.50000 to 0.50000'),
    ],
)
def test_ends_of_a_range_are_told_apart(values, text):
    assert gates._range(np.array(values)) == text
