"""Polarized self-attention: layer, networks, and the sizes of the reconstruction."""

from functools import partial

import numpy as np
import pytest
import torch
from conftest import ROOT
from mmcv.cnn import build_plugin_layer
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.models.backbones import HRNet, ResNet
from mmpose.registry import MODELS
from parity import fill_from
from rows import hrnet_extra
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmpose_lite.models.backbones import PSAHRNet, PSAResNet
from mmpose_lite.models.layers import PolarizedSelfAttention

FORMS = [(v, k) for v in ('code', 'paper') for k in ('parallel', 'sequential')]
every_form = pytest.mark.parametrize(('variant', 'layout'), FORMS)
W32 = ROOT / 'configs/psa/td-hm_hrnet-w32-psa-p_udp-8xb64-210e_coco-256x192.py'
R50 = ROOT / 'configs/psa/td-hm_res50-psa-p_8xb64-210e_coco-256x192.py'


@pytest.mark.parametrize('layout', ['parallel', 'sequential'])
def test_published_block(shared, reference_fill, layout):
    layer = PolarizedSelfAttention(64, layout)
    fill_from(layer, reference_fill.fill)
    golden = np.load(shared / f'reference/outputs/psa_{layout[0]}-64.npz')
    with torch.no_grad():
        out = layer(torch.from_numpy(golden['input'])).numpy()
    error = np.abs(out - golden['output']).max() / np.abs(golden['output']).max()
    assert error < 1e-5
    params = sum(p.numel() for p in layer.parameters())
    assert params == {'parallel': 8256, 'sequential': 7064}[layout]


def naive(layer, x, variant):
    """The formulas, one sample and one position at a time."""
    outputs = []
    for sample in x:
        c, h, w = sample.shape

        def project(name, m):
            weight = layer.get_submodule(name).weight[:, :, 0, 0]
            return weight @ m.reshape(len(m), -1)

        def channel(m):
            k = project('conv_q_right', m)[0].exp()
            z = project('conv_v_right', m) @ (k / k.sum())
            return layer.conv_up(z.view(1, -1, 1, 1)).sigmoid().view(-1, 1)

        def spatial(m):
            g = project('conv_q_left', m).mean(1)
            t = project('conv_v_left', m)
            if variant == 'paper':
                return ((g.exp() / g.exp().sum()) @ t).sigmoid()
            if layer.layout == 'parallel':
                s = (g @ t).exp()
                return (s / s.sum()).sigmoid()
            return (g @ (t.exp() / t.exp().sum(1, keepdim=True))).sigmoid()

        flat = sample.reshape(c, -1)
        if layer.layout == 'parallel':
            out = flat * channel(sample) + flat * spatial(sample)
        else:
            out = flat * channel(sample)
            out = out * spatial(out.view(c, h, w))
        outputs.append(out.view(c, h, w))
    return torch.stack(outputs)


@every_form
@pytest.mark.parametrize('channels', [8, 20])
def test_layer_equals_formulas(variant, layout, channels):
    torch.manual_seed(0)
    layer = PolarizedSelfAttention(channels, layout, variant).double()
    x = torch.randn(2, channels, 5, 7, dtype=torch.double)
    torch.testing.assert_close(layer(x), naive(layer, x, variant))


def test_paper_form_normalises_over_channels():
    layer = PolarizedSelfAttention(8, 'parallel', 'paper')
    assert layer.conv_up[0].bias is not None
    assert layer.conv_up[1].normalized_shape == (8, 1, 1)


def test_plugin_of_mmdet_resnet():
    from mmdet.models import ResNet

    plugin = dict(type='mmpose_lite.PolarizedSelfAttention', layout='sequential')
    name, layer = build_plugin_layer(plugin, in_channels=16)
    assert (name, type(layer)) == ('deattn', PolarizedSelfAttention)
    stages = (False, True, False, True)
    net = ResNet(50, plugins=[dict(cfg=plugin, stages=stages, position='after_conv2')])
    found = [n for n, m in net.named_modules() if isinstance(m, PolarizedSelfAttention)]
    assert len(found) == 4 + 3
    assert net.layer2[0].deattn.conv_q_right.in_channels == 128
    net.train(False)  # mmdet's does not return the module
    assert len(net(torch.randn(1, 3, 64, 64))) == 4


# Parameters and convolution GMACs at 256x192 and 384x288 of the reconstruction.
SIZES = {
    (32, 'parallel', False): (31_363_889, 8.142, 18.319),
    (32, 'parallel', True): (31_396_913, 8.218, 18.490),
    (32, 'sequential', False): (30_936_945, 8.142, 18.318),
    (32, 'sequential', True): (30_965_201, 8.218, 18.490),
    (48, 'parallel', False): (69_950_945, 16.806, 37.811),
    (48, 'parallel', True): (69_983_969, 16.882, 37.983),
    (48, 'sequential', False): (68_980_289, 16.805, 37.810),
    (48, 'sequential', True): (69_008_545, 16.881, 37.982),
    ('res50', 'parallel', None): (36_518_417, 5.730, 12.893),
    ('res50', 'sequential', None): (36_130_649, 5.730, 12.892),
}


@pytest.mark.slow
@pytest.mark.parametrize('row', SIZES, ids=lambda row: '-'.join(map(str, row)))
def test_sizes(row):
    width, layout, in_bottlenecks = row
    init_default_scope('mmpose')
    cfg = Config.fromfile(R50 if width == 'res50' else W32)
    backbone = cfg.model.backbone
    backbone.layout = layout
    if width != 'res50':
        backbone.in_bottlenecks = in_bottlenecks
        cfg.model.head.in_channels = width
        for i in (2, 3, 4):
            channels = tuple(width << j for j in range(i))
            backbone.extra[f'stage{i}'].num_channels = channels
    model = MODELS.build(cfg.model).eval()
    blocks = [m for m in model.modules() if isinstance(m, PolarizedSelfAttention)]
    assert len(blocks) == {None: 16, False: 104, True: 108}[in_bottlenecks]
    params, *gmacs = SIZES[row]
    assert sum(p.numel() for p in model.parameters()) == params
    for size, expected in zip(((256, 192), (384, 288)), gmacs, strict=True):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model._forward(torch.zeros(1, 3, *size))
        convolutions = counter.get_flop_counts()['Global'][torch.ops.aten.convolution]
        assert convolutions / 2e9 == pytest.approx(expected, abs=6e-4)


PLAIN_TWINS = {
    'hrnet': (
        partial(HRNet, hrnet_extra()),
        partial(PSAHRNet, hrnet_extra(), in_bottlenecks=True),
    ),
    'res18': (partial(ResNet, 18), partial(PSAResNet, 18)),
    'res50': (partial(ResNet, 50), partial(PSAResNet, 50, layout='sequential')),
}


@pytest.mark.parametrize('name', PLAIN_TWINS)
def test_plain_weights_load_and_identity_attention_is_the_plain_network(name):
    plain, ours = (make() for make in PLAIN_TWINS[name])
    missing, unexpected = ours.load_state_dict(plain.state_dict(), strict=False)
    assert unexpected == []
    assert missing
    assert all('.deattn.' in key for key in missing)
    for module in ours.modules():
        if hasattr(module, 'deattn'):
            module.deattn = nn.Identity()
    x = torch.randn(1, 3, 64, 64)
    plain.eval()
    with torch.no_grad():
        for a, b in zip(ours.eval()(x), plain(x), strict=True):
            assert torch.equal(a, b)


def test_attention_sits_after_the_first_3x3_convolution():
    net = PSAHRNet(hrnet_extra(), in_bottlenecks=True).eval()
    basic, bottleneck = net.stage4[0].branches[0][0], net.layer1[0]
    assert basic.deattn.conv_q_right.in_channels == basic.mid_channels
    seen, then = [], []
    for block, following in ((basic, basic.conv2), (bottleneck, bottleneck.conv3)):
        block.deattn.register_forward_hook(lambda *args: seen.append(args[1:]))
        following.register_forward_pre_hook(lambda *args: then.append(args[-1][0]))
    net(torch.randn(1, 3, 64, 64))
    assert len(seen) == len(then) == 2
    for ((before,), after), given in zip(seen, then, strict=True):
        assert (before >= 0).all()
        assert given is after
    default = PSAHRNet(hrnet_extra())
    assert isinstance(default.layer1[0].deattn, nn.Identity)


def test_frozen_stages():
    net = PSAHRNet(hrnet_extra(), frozen_stages=2, in_bottlenecks=True)
    assert net.train() is net
    assert net.eval() is net
    frozen = {n for n, p in net.named_parameters() if not p.requires_grad}
    assert 'layer1.0.deattn.conv_up.weight' in frozen
    assert 'stage2.0.branches.0.0.deattn.conv_up.weight' in frozen
    assert not any(name.startswith('stage3') for name in frozen)


def test_plain_names_stay_mmposes():
    init_default_scope('mmpose')
    assert MODELS.get('PSAHRNet') is PSAHRNet
    assert MODELS.get('PSAResNet') is PSAResNet
    assert MODELS.get('HRNet').__module__.startswith('mmpose.')
