"""Backbones, over every row of every table."""

import io
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hrnas import SPREAD
from hrnas import TINY as SPACE
from parity import untaught
from rows import IDS, NETS, ROWS, TINY, TINY_IDS, TINY_ROWS, hrnet_extra
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmpose_lite.models.backbones import HRNASNet, LiteHRNet, PSAHRNet, XHRNet, xhrnet
from mmpose_lite.models.backbones.hr_base import HRModule

every_row = pytest.mark.parametrize(('cls', 'arch'), ROWS, ids=IDS)
every_net = pytest.mark.parametrize('make', NETS.values(), ids=NETS)
every_unit = pytest.mark.parametrize(('cls', 'arch'), TINY_ROWS, ids=TINY_IDS)
UNITS = {name: partial(*row) for name, row in zip(TINY_IDS, TINY_ROWS, strict=True)}
SMALL = {**UNITS, 'HRNASNet': partial(HRNASNet, space=dict(SPACE, transformer='all'))}
CHECKPOINTED = {**UNITS, 'PSAHRNet': partial(PSAHRNet, hrnet_extra())}
every_small_net = pytest.mark.parametrize('make', SMALL.values(), ids=SMALL)


def saved_bytes(function):
    """Bytes that autograd keeps for backward while ``function`` runs."""
    total = 0

    def pack(tensor):
        nonlocal total
        total += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = function()
    return total, result


@every_row
def test_shapes_at_several_sizes(cls, arch):
    net = cls(arch).eval()
    width = net.arch.channels[-1][0]
    for batch, height, in_width in ((1, 64, 64), (2, 96, 32), (1, 128, 160)):
        with torch.no_grad():
            feats = net(torch.randn(batch, 3, height, in_width))
        assert [tuple(f.shape) for f in feats] == [
            (batch, width, height // 4, in_width // 4)
        ]


@every_net
def test_every_parameter_gets_a_gradient(make):
    net = make(init_cfg=SPREAD)
    net.init_weights()
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert net.train() is net
    assert all(m.training for m in net.modules())
    out = net(torch.randn(2, 3, 64, 64))[0]
    (out * torch.randn_like(out)).sum().backward()
    assert untaught(net) == []


def test_maps_of_every_resolution_without_head():
    net = LiteHRNet('18', with_head=False)
    shapes = [tuple(f.shape) for f in net(torch.randn(2, 3, 64, 96))]
    assert shapes == [(2, 40, 16, 24), (2, 80, 8, 12), (2, 160, 4, 6), (2, 320, 2, 3)]
    assert not any('head_layer' in key for key in net.state_dict())


def naive_fusion(module, feats):
    """The published in-place fusion, literally."""
    n = len(feats)
    feats = [feat.clone() for feat in feats]
    fused = []
    for i in range(n):
        y = feats[0] if i == 0 else module.fuse_layers[i][0](feats[0])
        for j in range(n):
            term = feats[j] if i == j else module.fuse_layers[i][j](feats[j])
            y += term
        fused.append(y)
    return [F.relu(y) for y in fused]


@pytest.mark.parametrize('training', [True, False])
def test_fusion_equals_published_in_place_code(training):
    torch.manual_seed(0)
    module = HRModule((4, 6, 8), nn.Identity(), dict(type='BN')).double()
    module.train(training)
    feats = [
        torch.randn(2, c, 16 >> i, 8 >> i).double() for i, c in enumerate((4, 6, 8))
    ]
    twin = HRModule((4, 6, 8), nn.Identity(), dict(type='BN')).double()
    twin.load_state_dict(module.state_dict())
    twin.train(training)
    with torch.no_grad():
        expected = naive_fusion(twin, feats)
        for out, want in zip(module(feats), expected, strict=True):
            torch.testing.assert_close(out, want, rtol=1e-12, atol=1e-12)
    for (name, a), b in zip(module.named_buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_fusion_computes_the_way_down_once_in_eval():
    module = HRModule((4, 6), nn.Identity(), dict(type='BN'))
    calls = []
    module.fuse_layers[1][0].register_forward_hook(lambda *_: calls.append(1))
    feats = [torch.randn(1, 4, 8, 8), torch.randn(1, 6, 4, 4)]
    module.eval()(feats)
    assert len(calls) == 1
    module.train()(feats)
    assert len(calls) == 3


@pytest.mark.parametrize('make', CHECKPOINTED.values(), ids=CHECKPOINTED)
def test_checkpointing_keeps_gradients_and_statistics_and_saves_memory(make):
    x = torch.randn(2, 3, 64, 64, dtype=torch.double)
    plain = make(init_cfg=SPREAD).double().train()
    plain.init_weights()
    saving = make(with_cp=True).double().train()
    saving.load_state_dict(plain.state_dict())
    results = [saved_bytes(lambda net=net: net(x)[0]) for net in (plain, saving)]
    (plain_size, plain_out), (size, out) = results
    assert size < 0.65 * plain_size
    torch.testing.assert_close(out, plain_out, rtol=0, atol=0)
    for result in (plain_out, out):
        result.square().sum().backward()
    for (name, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)
    for (name, a), b in zip(plain.named_buffers(), saving.buffers(), strict=True):
        assert torch.equal(a, b), name


@every_small_net
def test_norm_eval_freezes_statistics_only(make):
    net = make(norm_eval=True).train()
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm)]
    assert norms
    assert not any(m.training for m in norms)
    assert all(child.training for child in net.children())
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize('frozen', [-1, 0, 1, 2])
def test_frozen_stages(frozen):
    net = XHRNet(dict(TINY, unit='sequential'), frozen_stages=frozen).train()
    parts = ['stem', 'transition0', 'stage0', 'transition1', 'stage1', 'head_layer']
    expected = parts[: 0 if frozen < 0 else 1 + 2 * frozen]
    for part in parts:
        module = net.get_submodule(part)
        still = all(not p.requires_grad for p in module.parameters())
        assert still == (part in expected), part
        assert module.training == (part not in expected), part
    before = {k: v.clone() for k, v in net.named_buffers()}
    net(torch.randn(2, 3, 32, 32))[0].sum().backward()
    changed = {
        k.partition('.')[0] for k, v in net.named_buffers() if (v != before[k]).any()
    }
    assert changed == set(parts) - set(expected)


@every_unit
def test_published_initialisation(cls, arch):
    net = cls(arch)
    net.init_weights()
    weights = torch.cat(
        [m.weight.detach().flatten() for m in net.modules() if type(m) is nn.Conv2d]
    )
    assert weights.std() == pytest.approx(0.001, rel=0.1)
    assert weights.abs().max() < 0.01
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            assert not module.bias.any()
        elif isinstance(module, (_BatchNorm, nn.LayerNorm)):
            assert (module.weight == 1).all()
            assert not module.bias.any()


@every_row
def test_bf16_autocast(cls, arch):
    net = cls(arch).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        out = net(x)[0]
    assert out.dtype == torch.bfloat16
    assert out.isfinite().all()


@every_small_net
def test_bf16_autocast_is_near_float32(make):
    torch.manual_seed(0)
    net = make(init_cfg=SPREAD).train()
    net.init_weights()
    if make is SMALL['HRNASNet']:
        net.eval()  # its dropouts would act
    x = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        expected = net(x)[0]
        with torch.autocast('cpu', torch.bfloat16):
            out = net(x)[0].float()
    error = (out - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert error < 0.1


def test_position_weights_of_another_length():
    large = XHRNet('s18', max_size=(24, 40)).eval()
    large.init_weights()
    with torch.no_grad():
        for name, p in large.named_parameters():
            if name.endswith('group_weight'):
                p.uniform_(0.5, 2)
    state = {k: v.clone() for k, v in large.state_dict().items()}
    x = torch.randn(1, 3, 64, 96)  # a stride-4 map of 16 x 24, which both support
    for size in ((16, 24), (96, 72)):
        other = XHRNet('s18', max_size=size).eval()
        other.load_state_dict(state, strict=True)
        with torch.no_grad():
            assert torch.equal(other(x)[0], large(x)[0])
        weight = other.stage0[0].layers[0][0].branch2[2].group_weight
        assert weight.shape == (1, 1, size[0], 1)
    padded = weight.flatten()
    assert (padded[24:] == 1).all()
    assert (padded[:24] != 1).all()
    assert all(torch.equal(v, state[k]) for k, v in large.state_dict().items())


def test_fitting_position_weights_is_logged_once(monkeypatch):
    lines = []
    monkeypatch.setattr(xhrnet, 'print_log', lambda line, **_: lines.append(line))
    arch = dict(TINY, unit='parallel')
    source, target = XHRNet(arch), XHRNet(arch, max_size=(16, 16))
    target.load_state_dict(source.state_dict())
    assert len(lines) == 1
    assert "('h', 96)" in lines[0]
    assert '(16, 16)' in lines[0]
    target.load_state_dict(target.state_dict())
    assert len(lines) == 1


def test_input_larger_than_position_weights():
    with pytest.raises(
        ValueError, match=r'384x384.*96x96.*max_size=\(96, 72\).*max_size=\(96, 96\)'
    ):
        XHRNet('s18')(torch.zeros(1, 3, 384, 384))
    net = XHRNet('s18', max_size=(96, 96)).eval()
    with torch.no_grad():
        assert net(torch.zeros(1, 3, 384, 384))[0].shape == (1, 40, 96, 96)


@pytest.mark.parametrize('cls', [LiteHRNet, XHRNet])
def test_input_size_names_nearest_good_sizes(cls):
    with pytest.raises(
        ValueError, match=r'100x192.*multiple of 32.*H 96 or 128, W 192$'
    ):
        cls()(torch.zeros(1, 3, 100, 192))
    with pytest.raises(ValueError, match=r'H 32, W 64'):
        cls()(torch.zeros(1, 3, 5, 64))


@pytest.mark.slow
@every_unit
def test_compiles_without_graph_breaks(cls, arch):
    torch._dynamo.reset()
    net = cls(arch).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        compiled = torch.compile(net, fullgraph=True, backend='aot_eager')
        torch.testing.assert_close(compiled(x)[0], net(x)[0])


@pytest.mark.slow
@every_small_net
def test_torch_export(make):
    """Through a file, and run on another image."""
    net = make().eval()
    file, image = io.BytesIO(), torch.randn(1, 3, 64, 64)
    torch.export.save(torch.export.export(net, (image.flip(-1),)), file)
    file.seek(0)
    with torch.no_grad():
        found = torch.export.load(file).module()(image)[0]
        torch.testing.assert_close(found, net(image)[0])
