"""HR-NAS's layers and backbone: geometry, formulas, errors and every kind of cut."""

from __future__ import annotations

import copy
import dataclasses
import doctest
import io
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hrnas import SPREAD, TINY, living
from parity import untaught
from rows import SPACE_ROWS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmpose_lite.models.backbones import HRNASNet
from mmpose_lite.models.backbones.hrnas_arch import (
    SPACES,
    TRANSFORMERS,
    BlockArch,
    Place,
    SearchSpace,
    dump_arch,
    parse_arch,
    places,
    read_arch,
    resolve_space,
)
from mmpose_lite.models.layers import (
    InvertedBottleneck,
    LightTransformer,
    SearchingBlock,
)
from mmpose_lite.models.layers.light_transformer import PostNormLayer
from mmpose_lite.search import MacsCost, PublishedMacsCost, ResourcePenalty

BN = dict(type='BN')
COST = MacsCost((64, 48))
SIZES = [(64, 48), (60, 92), (33, 65), (1, 1)]
every_mode = pytest.mark.parametrize('transformer', TRANSFORMERS)
every_row = pytest.mark.parametrize(('base', 'transformer'), SPACE_ROWS)


def tiny(transformer='all', space=TINY):
    """A small network with weights that are seen at the output, in double precision."""
    torch.manual_seed(0)
    net = HRNASNet(space=dict(space, transformer=transformer), init_cfg=SPREAD)
    net.init_weights()
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            for tensor in (module.bias, module.running_mean):
                nn.init.normal_(tensor, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.double().eval()


def kill(net, *, tokens=False):
    """Silence channels, a kernel size of every other block and two whole blocks."""
    for index, (_, block) in enumerate(net.named_blocks()):
        for position, op in enumerate(block.ops):
            gamma = op.importance.data
            gamma[(index + position) % 3 :: 3] = 0
            if (position == index % 3 and index % 2) or index in (3, 6):
                gamma[:] = 0
        if tokens and block.transformer is not None:
            block.transformer.importance.data[: index % (block.tokens + 1)] = 0
    return net


def cut(net):
    """Cut whatever is silent; the record of it."""
    rows = zip(net.named_blocks(), living(net, 0), strict=True)
    return [entry for (_, block), masks in rows for entry in block.cut(*masks)]


def picture(height=64, width=48, batch=2):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, height, width, generator=generator).double()


def run(net, image=None):
    with torch.no_grad():
        return net(picture() if image is None else image)[0]


# --- layers against their formulas ---


def test_bottleneck_by_hand():
    op = InvertedBottleneck(3, 4, 5, 5, 2, BN).double().eval()
    for norm in (op.expand.bn, op.depthwise.bn):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.normal_(norm.bias)
    x = picture(9, 7)

    def norm(y, bn):
        return F.batch_norm(y, bn.running_mean, bn.running_var, bn.weight, bn.bias)

    wide = torch.einsum('oi,bihw->bohw', op.expand.conv.weight[..., 0, 0], x)
    wide = F.pad(norm(wide, op.expand.bn).relu(), (2,) * 4)
    windows = wide.unfold(2, 5, 2).unfold(3, 5, 2)  # (B, C, H', W', 5, 5)
    deep = torch.einsum('bchwij,cij->bchw', windows, op.depthwise.conv.weight[:, 0])
    deep = norm(deep, op.depthwise.bn).relu()
    expected = torch.einsum('oc,bchw->bohw', op.project.weight[..., 0, 0], deep)
    assert expected.shape == (2, 5, 5, 4)
    torch.testing.assert_close(op(x), expected)
    assert op.kernel_size == 5


@pytest.mark.parametrize(('ends', 'stride'), [((6, 6), 1), ((6, 9), 1), ((6, 6), 2)])
@pytest.mark.parametrize('tokens', [0, 4])
def test_block_is_the_sum_of_its_parts(ends, stride, tokens):
    block = SearchingBlock(
        *ends, stride, channels=(3, 4, 5), tokens=tokens, norm_cfg=BN
    )
    block = block.double().eval()
    nn.init.normal_(block.pw_bn.running_mean)
    x = torch.randn(2, ends[0], 9, 7).double()
    if ends[0] == ends[1] and stride == 1:
        assert block.residual is None
        shortcut = x
    else:
        weight, groups = block.residual.weight, math.gcd(*ends)
        assert weight.shape == (ends[1], ends[0] // groups, 1, 1)
        shortcut = F.conv2d(x[:, :, ::stride, ::stride], weight, groups=groups)
    expected = shortcut + block.pw_bn(sum(op(x) for op in block.ops))
    if tokens:
        expected = expected + block.transformer(x, shortcut.shape[-2:])
    torch.testing.assert_close(block(x), expected)
    found = block.kernels, block.channels, block.tokens
    assert found == ((3, 5, 7), (3, 4, 5), tokens)


@pytest.mark.parametrize('with_queries', [True, False])
def test_post_norm_layer_by_hand(with_queries):
    layer = PostNormLayer(64, 0.1).double().eval()
    for norm in (layer.norm1, layer.norm2):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    tokens = torch.randn(2, 3, 64).double()
    queries = torch.randn(3, 64).double() if with_queries else None
    to_query, to_key, to_value = layer.attention.qkv.weight.chunk(3)
    asked = (tokens if queries is None else queries) @ to_query.T
    weight = torch.softmax(asked @ (tokens @ to_key.T).mT / 8, -1)  # one head
    attended = weight @ (tokens @ to_value.T) @ layer.attention.out.weight.T
    # The residual is the tokens, not the queries.
    middle = layer.norm1(tokens + attended)
    hidden = (middle @ layer.linear1.weight.T).relu() @ layer.linear2.weight.T
    expected = layer.norm2(middle + hidden)
    torch.testing.assert_close(layer(tokens, queries), expected)
    assert layer.linear1.bias is None
    assert layer.attention.out.bias is None


def test_transformer_by_hand():
    net = LightTransformer(3, 5, 4, BN).double().eval()
    x = torch.randn(2, 3, 11, 7).double()
    small = F.interpolate(x, (8, 8), mode='bilinear', align_corners=False)
    steps = (np.arange(8) - 3.5) / math.sqrt(5.25)
    assert (steps.mean(), steps.std()) == pytest.approx((0, 1))
    across, down = np.meshgrid(steps, steps)
    grid = torch.from_numpy(np.stack((across, down))).expand(2, -1, -1, -1)
    weight = net.project.weight[..., 0, 0]
    maps = torch.einsum('ni,bihw->bnhw', weight, torch.cat((small, grid), 1))
    tokens = net.project_norm(maps).reshape(2, 4, 64)
    tokens = net.decoder(net.encoder(tokens), net.queries).reshape(2, 4, 8, 8)
    weight = net.reverse.weight[..., 0, 0]
    maps = net.reverse_norm(torch.einsum('on,bnhw->bohw', weight, tokens))
    expected = F.interpolate(maps, (6, 4), mode='bilinear', align_corners=False)
    torch.testing.assert_close(net(x, (6, 4)), expected, rtol=1e-6, atol=1e-7)


def test_exchange_between_neighbours_by_hand():
    """Sums in published order, then a ReLU; what grows has none."""
    net = tiny(None)
    module = net.features[4]  # two resolutions become three
    feats = [torch.randn(1, *size).double() for size in ((4, 8, 6), (6, 4, 3))]
    first, second = module.rows
    up = first['1'](feats[1]).repeat_interleave(2, 2).repeat_interleave(2, 3)
    high = (first['0'](feats[0]) + up).relu()
    low = (second['0'](feats[0]) + second['1'](feats[1])).relu()
    expected = [high, low, module.grown[0](low)]
    for found, want in zip(module(feats), expected, strict=True):
        torch.testing.assert_close(found, want)
    assert (expected[2] < 0).any()


# --- the backbone ---


@every_mode
@pytest.mark.parametrize('size', SIZES)
def test_any_size(transformer, size):
    net = tiny(transformer)
    image = picture(*size)
    feats = net(image)
    assert isinstance(feats, tuple)
    (feat,) = feats
    assert feat.shape == (2, 6, -(-size[0] // 4), -(-size[1] // 4))
    assert feat.isfinite().all()
    torch.testing.assert_close(run(net, image[:1]), feat[:1].detach())


@every_row
def test_shapes_of_every_space(base, transformer):
    net = HRNASNet(space=dict(base=base, transformer=transformer)).eval()
    space = SPACES[base]
    with torch.no_grad():
        shapes = [tuple(f.shape) for f in net(torch.zeros(1, 3, 64, 32))]
    assert shapes == [(1, space.head_channels, 16, 8)]
    assert [place.sizes((64, 32)) for place in net.places][-1] == ((16, 8), (16, 8))
    for place, block in zip(net.places, net.arch, strict=True):
        has = {None: False, 'residual': place.is_residual, 'all': True}[transformer]
        assert block.tokens == space.tokens * has


def test_every_parameter_of_a_searched_network_gets_a_gradient():
    net = kill(tiny(), tokens=True)
    cut(net)
    out = net.train()(picture())[0]
    (out * torch.randn_like(out)).sum().backward()
    # The softmax over a single token is 1, whatever its query asks.
    alone = [
        f'{name}.transformer.queries'
        for name, block in net.named_blocks()
        if block.tokens == 1
    ]
    assert alone
    assert untaught(net) == alone


def test_dropout_acts_in_training_only():
    net = tiny('residual')
    assert torch.equal(run(net), run(net))
    net.train()
    outputs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outputs.append(run(net))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.allclose(outputs[0], outputs[2])
    plain = tiny(None).train()
    assert torch.equal(run(plain), run(plain))


def test_published_initialisation():
    net = HRNASNet(space=dict(base='mini', transformer='all'))
    net.init_weights()
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert all(conv.bias is None for conv in convs)
    weights = torch.cat([conv.weight.detach().flatten() for conv in convs])
    assert weights.std() == pytest.approx(0.001, rel=0.05)
    assert abs(float(weights.mean())) < 1e-4
    matrices = [
        (m.weight, *m.weight.shape) for m in net.modules() if isinstance(m, nn.Linear)
    ]
    matrices += [(b.transformer.queries, 16, 64) for _, b in net.named_blocks()]
    for weight, rows, columns in matrices:  # Xavier uniform
        bound = math.sqrt(6 / (rows + columns))
        assert 0.9 * bound < float(weight.detach().abs().max()) <= bound
    for module in net.modules():
        if isinstance(module, (_BatchNorm, nn.LayerNorm)):
            assert (module.weight == 1).all()
            assert not module.bias.any()


def test_docstring_example():
    found = doctest.DocTestFinder(recurse=False).find(HRNASNet, 'HRNASNet')
    (example,) = [test for test in found if test.examples]
    assert doctest.DocTestRunner().run(example).failed == 0


# --- cutting ---


@every_mode
@pytest.mark.parametrize(
    ('dtype', 'allowed'), [(torch.float32, 1e-6), (torch.float64, 1e-12)]
)
def test_cutting_silent_channels_is_exact(transformer, dtype, allowed):
    net = kill(tiny(transformer)).to(dtype)
    image = picture().to(dtype)
    before = run(net, image)
    macs = COST.network(net.space, net.arch)
    assert cut(net)
    after = run(net, image)
    assert (after - before).abs().max() <= allowed * before.abs().max()
    assert COST.network(net.space, net.arch) < 0.9 * macs
    assert after.dtype == dtype


def test_cutting_in_two_steps_is_cutting_once():
    nets = [kill(tiny()) for _ in range(2)]
    rows = zip(nets[0].named_blocks(), living(nets[0], 0), strict=True)
    for (_, block), (masks, _) in rows:
        block.cut([mask | (torch.arange(len(mask)) % 2 == 0) for mask in masks])
    assert nets[0].arch != nets[1].arch
    for net in nets:
        cut(net)
    assert nets[0].arch == nets[1].arch
    state = nets[1].state_dict()
    for key, value in nets[0].state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=1e-12, atol=1e-12)


def test_training_keeps_its_function():
    """Batch statistics subtract the constant of what left by themselves."""
    net = kill(tiny(None)).train()
    for block in (block for _, block in net.named_blocks()):
        if not any(op.importance.any() for op in block.ops):
            nn.init.zeros_(block.pw_bn.bias)  # all that such a block adds in training
    before = run(net)
    cut(net)
    for _, block in net.named_blocks():
        if block.constant is not None:
            block.constant.zero_()
    after = run(net)
    assert (after - before).abs().max() <= 1e-12 * before.abs().max()


def test_bookkeeping_of_a_cut():
    """Every touched parameter and gradient once, the same object, the same order."""
    net = kill(tiny(), tokens=True)
    names = {id(p): name for name, p in net.named_parameters()}
    held = list(net.parameters())
    net.train()(picture())[0].square().sum().backward()
    was = {id(p): (p.detach().clone(), p.grad.clone()) for p in held}
    cuts = cut(net)
    by_id = {id(entry.parameter): entry for entry in cuts}
    assert len(by_id) == len(cuts)
    assert set(by_id) <= set(names)
    left = [id(p) for p in net.parameters()]
    assert left == [id(p) for p in held if id(p) in set(left)]  # nothing new
    for parameter in held:
        entry, (value, grad) = by_id.get(id(parameter)), was[id(parameter)]
        name = names[id(parameter)]
        assert (id(parameter) in left) == (entry is None or entry.keep is not None)
        if entry is None:
            assert torch.equal(parameter, value), name
        elif entry.keep is None:
            assert parameter.grad is None, name
        else:
            assert parameter.shape != value.shape
            assert parameter.is_contiguous()
            assert parameter.untyped_storage().nbytes() == parameter.nbytes
            for found, before in ((parameter, value), (parameter.grad, grad)):
                expected = before.index_select(entry.dim, entry.keep)
                assert torch.equal(found, expected), name
    kinds = {(entry.keep is None, entry.dim) for entry in cuts}
    assert kinds == {(True, 0), (False, 0), (False, 1)}
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            width = module.in_channels // module.groups
            expected = (module.out_channels, width, *module.kernel_size)
            assert tuple(module.weight.shape) == expected
        elif isinstance(module, _BatchNorm):
            tensors = (module.bias, module.running_mean, module.running_var)
            assert {len(t) for t in tensors} == {module.num_features}


def test_a_dead_block_keeps_its_constant():
    block = SearchingBlock(4, 4, channels=(3, 2, 2), norm_cfg=BN).double().eval()
    for op in block.ops:
        nn.init.zeros_(op.importance)
        nn.init.uniform_(op.depthwise.bn.bias, -1, 1)
    nn.init.normal_(block.pw_bn.bias)
    nn.init.uniform_(block.pw_bn.running_var, 0.5, 2)
    x = torch.randn(2, 4, 5, 3).double()
    with torch.no_grad():
        added = block(x) - x
        assert (added - added[:1, :, :1, :1]).abs().max() < 1e-12
        block.cut([torch.zeros(n, dtype=torch.bool) for n in block.channels])
        torch.testing.assert_close(block(x) - x, added, rtol=1e-12, atol=1e-12)
    assert (block.kernels, block.channels, block.tokens) == ((), (), 0)
    assert list(block.state_dict()) == ['constant']
    assert list(block.parameters()) == []
    torch.testing.assert_close(block.constant, added[0, :, 0, 0])
    assert block.cut([]) == []  # nothing is left to lose


def test_tokens_leave_one_by_one_and_together():
    block = SearchingBlock(4, 4, channels=(3,), kernels=(3,), tokens=5, norm_cfg=BN)
    block = block.eval()
    x = torch.randn(1, 4, 9, 9)
    part, everything = block.transformer, torch.ones(3, dtype=torch.bool)
    keep = torch.tensor([True, False, True, True, False])
    before = {name: value.clone() for name, value in part.named_parameters()}
    block.cut([everything], keep)
    assert block.tokens == part.tokens == 3
    for name, value in part.named_parameters():
        if name.startswith(('project', 'queries')):
            assert torch.equal(value, before[name][keep])
    assert part.reverse.weight.shape == (4, 3, 1, 1)
    assert block(x).shape == x.shape
    held = list(part.parameters())
    cuts = block.cut([everything], ~everything)
    assert block.transformer is None
    assert (block.channels, block.tokens) == ((3,), 0)
    assert {id(c.parameter) for c in cuts} == {id(p) for p in held}
    assert all(entry.keep is None for entry in cuts)
    assert block(x).shape == x.shape
    assert not any('transformer' in key for key in block.state_dict())


def test_cutting_nothing_touches_nothing():
    net = tiny()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    assert cut(net) == []
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_all_may_die():
    net = tiny()
    for _, block in net.named_blocks():
        for importance in block.importances():
            nn.init.zeros_(importance)
    cut(net)
    assert net.arch == [BlockArch((), ())] * len(net.places)
    assert run(net).isfinite().all()
    assert value_of(ResourcePenalty(net, COST), net) == 0
    other = HRNASNet(space=dict(TINY, transformer='all')).double().eval()
    other.load_state_dict(net.state_dict(), strict=True)
    assert torch.equal(run(other), run(net))


# --- taking on another form ---


def test_reshape_keeps_parameters_that_both_forms_have():
    net = kill(tiny(), tokens=True)
    full, held = net.arch, dict(net.named_parameters())
    cut(net)
    small, kept = net.arch, {id(p) for p in net.parameters()}
    net.reshape(full)
    assert net.arch == full
    assert [name for name, _ in net.named_parameters()] == list(held)
    assert kept <= {id(p) for p in net.parameters()}
    net.reshape(small)
    assert net.arch == small
    assert {id(p) for p in net.parameters()} == kept
    assert all(p.dtype == torch.double for p in net.parameters())
    assert run(net).isfinite().all()


def test_reshape_moves_kernel_sizes_with_their_parameters():
    """When 3x3 dies, 5x5 moves up; its tensors must not become those of 3x3."""
    block = SearchingBlock(4, 4, channels=(3, 4, 5), norm_cfg=BN)
    weights = {op.kernel_size: op.depthwise.conv.weight for op in block.ops}
    residue = block.pw_bn.weight
    block.reshape((5, 7), (2, 5), 0)
    for op in block.ops:
        assert op.depthwise.conv.weight is weights[op.kernel_size]
    assert block.channels == (2, 5)
    assert block.pw_bn.weight is residue
    block.reshape((), (), 3)
    assert block.pw_bn is None
    assert (block.constant == 0).all()
    assert block(torch.zeros(1, 4, 8, 8)).shape == (1, 4, 8, 8)
    block.reshape((7,), (4,), 0)
    assert block.constant is None
    assert list(block.state_dict())[-1].startswith('pw_bn')


@pytest.mark.parametrize('norm_eval', [True, False])
def test_reshape_keeps_the_mode(norm_eval):
    net = HRNASNet(space=TINY, norm_eval=norm_eval).train()
    full = net.arch
    net.reshape([BlockArch((), ())] * len(full))
    net.reshape(full)
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm)]
    assert {norm.training for norm in norms} == {not norm_eval}
    assert net.transform.ops[0].training


# --- a searched network is an ordinary one ---


SHALLOW = dict(TINY, num_blocks=((1,), (1, 1)), channels=((4,), (4, 6)))


@pytest.fixture(scope='module')
def searched():
    """What is left after channels, kernels, blocks and tokens died."""
    net = kill(tiny('residual', space=SHALLOW), tokens=True)
    cut(net)
    return net


def test_deepcopy(searched):
    twin = copy.deepcopy(searched)
    before = run(searched)
    assert torch.equal(run(twin), before)
    for parameter in twin.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(run(searched), before)


@pytest.mark.slow
def test_exports(searched):
    program = torch.export.export(searched, (picture(),))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    other = picture().flip(-1)
    with torch.no_grad():
        found = torch.export.load(file).module()(other)[0]
    torch.testing.assert_close(found, run(searched, other))


# --- spaces and architectures as data ---


@every_row
def test_dump_and_parse(base, transformer, tmp_path):
    space = resolve_space(dict(base=base, transformer=transformer))
    count = len(list(places(space)))
    arch = [BlockArch((3, 7), (i + 1, 2), i % 3) for i in range(count)]
    arch[::4] = [BlockArch((), (), i % 2) for i in range(0, count, 4)]
    header = dump_arch(space, arch, (192, 256))
    path = tmp_path / 'arch.json'
    path.write_text(json.dumps(header))
    again = read_arch(path)
    assert again == header
    assert again['input_size'] == [192, 256]
    assert resolve_space(again['space']) == space
    assert parse_arch(space, again['blocks']) == arch
    path.write_text(json.dumps(header['blocks']))
    assert read_arch(path) == dict(blocks=header['blocks'])


def test_upstream_entries_have_no_tokens():
    space = resolve_space(TINY)
    blocks = [[p.out_channels, 1, p.stride, [5], [2], True] for p in places(space)]
    assert {block.tokens for block in parse_arch(space, blocks)} == {0}


def test_bad_files(tmp_path):
    path = tmp_path / 'arch.json'
    for text, message in (
        ('{"blocks": [', r'arch\.json is no JSON'),
        ('3', r"arch\.json is no architecture: it has no 'blocks'"),
        ('{"space": "mini"}', r"no architecture: it has no 'blocks'"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            HRNASNet(path)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        HRNASNet(str(tmp_path / 'nowhere.json'))


def test_places_by_hand():
    """Rows of the exchange first, what grows, then the branches; the head last."""
    space = SearchSpace(
        ((1,), (1, 2)), ((4,), (5, 6)), stem_channels=(2, 3), head_channels=7
    )
    blocks = [name for name, _ in HRNASNet(space=dict(vars(space))).named_blocks()]
    found = zip(blocks, places(space), strict=True)
    assert [(name, place, place.is_residual) for name, place in found] == [
        ('features.0.rows.0.0', Place(3, 4, 1, 0), False),
        ('features.1.branches.0.0', Place(4, 4, 1, 0), True),
        ('features.2.rows.0.0', Place(4, 5, 1, 0), False),
        ('features.2.grown.0', Place(5, 6, 2, 0), False),
        ('features.3.branches.0.0', Place(5, 5, 1, 0), True),
        ('features.3.branches.1.0', Place(6, 6, 1, 1), True),
        ('features.3.branches.1.1', Place(6, 6, 1, 1), True),
        ('transform', Place(11, 7, 1, 0), False),
    ]
    assert Place(5, 6, 2, 0).sizes((100, 76)) == ((25, 19), (13, 10))


# --- costs and penalty ---


def value_of(penalty, net):
    with torch.no_grad():
        return float(penalty(net))


@every_mode
def test_costs_are_differences(transformer):
    """A channel costs what its block has less without it; so does a token."""
    net = tiny(transformer)
    for cost in (MacsCost((100, 76)), PublishedMacsCost((100, 76))):
        for place, block in zip(net.places, net.arch, strict=True):
            whole = cost.block(place, block)
            for position, (kernel, width) in enumerate(
                zip(block.kernels, block.channels, strict=True)
            ):
                widths = list(block.channels)
                widths[position] -= 1
                less = dataclasses.replace(block, channels=tuple(widths))
                saved = whole - cost.block(place, less)
                assert cost.channel(place, kernel, width) == saved
            if block.tokens and type(cost) is MacsCost:
                less = dataclasses.replace(block, tokens=block.tokens - 1)
                saved = whole - cost.block(place, less)
                assert cost.token(place, block.tokens, block.tokens) == saved


def test_penalty_by_hand():
    net = tiny('residual')
    penalty = ResourcePenalty(net, COST)
    total, count, value = 0.0, 0, 0.0
    for (_, block), place in zip(net.named_blocks(), net.places, strict=True):
        for gamma in block.importances():
            if block.tokens and gamma is block.transformer.importance:
                alive = int((gamma > 1e-3).sum())
                costs = [COST.transformer(place, n) for n in (5, alive, alive - 1)]
                total, price = total + costs[0], costs[1] - costs[2]
            else:
                op = next(op for op in block.ops if op.importance is gamma)
                price = COST.op(place, op.kernel_size, 1)
                total += price * len(gamma)
            count += len(gamma)
            value += price * float(gamma.detach().abs().sum())
    found = penalty(net)
    assert float(found.detach()) == pytest.approx(value / total * count, rel=1e-6)
    found.backward()
    for op in (op for _, block in net.named_blocks() for op in block.ops):
        assert (op.importance.grad > 0).all()
        assert [p for p in op.parameters() if p.grad is not None] == [op.importance]


def test_tokens_live_by_sign():
    """A negative importance is dead to the attention's cost, yet still punished."""
    net = tiny('residual')
    block = net.features[1].branches[0][0]
    penalty = ResourcePenalty(net, COST)
    place = Place(4, 4, 1, 0)
    gamma = block.transformer.importance
    with torch.no_grad():
        gamma.copy_(torch.tensor([1, -1, 1e-4, 2, -3]))
    (weight,) = [w for values, w in penalty.weights(net) if values is gamma]
    price = COST.transformer(place, 2) - COST.transformer(place, 1)
    assert weight == pytest.approx(price / penalty.mean)
    penalty(net).backward()
    expected = weight * torch.tensor([1, -1, 1, 1, -1]).double()
    torch.testing.assert_close(gamma.grad, expected)


def test_penalty_outlives_a_cut():
    """Silent channels add nothing, so their leaving changes nothing."""
    net = kill(tiny('residual'))
    penalty = ResourcePenalty(net, COST)
    before = value_of(penalty, net)
    cut(net)
    assert value_of(penalty, net) == pytest.approx(before, rel=1e-12)


@pytest.mark.parametrize('size', [(64,), (64, 0), (64, 48, 3)])
def test_bad_image_size(size):
    with pytest.raises(ValueError, match='image_size must be two positive numbers'):
        MacsCost(size)
