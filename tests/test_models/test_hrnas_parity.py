"""HR-NAS against the original: names, cost, heatmaps, shrinking, penalties.

Weights under the original names go through the project's converter, as a user's would.
The original's own results are compared in single precision, as they were made; that our
cut changes nothing where it must not is also checked in double precision.
"""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from command_line import run_tool
from conftest import ROOT, SHARED
from hrnas import NASPose, living, upstream_shrink, upstream_slice_tokens
from mmengine.runner import load_checkpoint
from parity import check_golden, fill_from, original_weights, own_fill, relative_error
from rows import SPACE_ROWS

from mmpose_lite.analysis import complexity
from mmpose_lite.checkpoints import convert, translate
from mmpose_lite.checkpoints.convert import apply
from mmpose_lite.checkpoints.hrnas import LAYOUTS
from mmpose_lite.models.backbones import HRNASNet
from mmpose_lite.models.backbones.hrnas_arch import (
    TRANSFORMERS,
    BlockArch,
    full_arch,
    parse_arch,
    resolve_space,
)
from mmpose_lite.models.layers import SearchingBlock
from mmpose_lite.search import MacsCost, PublishedMacsCost, ResourcePenalty

MODE_OF = {'': None, '-transformer': 'residual', '-transformer-ds': 'all'}
PREFIX = 'hrnas-supernet-keypoint'
SIZE = (256, 192)
HEAD = 90 * 17 * 64 * 48
"""MACs of the final layer."""
NAMES = sorted(
    path.stem for path in (SHARED / 'reference/layouts').glob('hrnas-*.json')
)
OUTPUTS = [
    (name, key)
    for name in NAMES
    if (SHARED / f'reference/outputs/{name}.npz').is_file()
    for key in ('heatmaps', 'heatmaps_scaled')
]
# Where the reference is absent one skipped case says so.
every_layout = pytest.mark.parametrize('name', NAMES or ['absent'])
# Golden blocks, and a block of the supernet that has their widths and stride.
BLOCKS = {
    'block-res-18-18-s1': ((18, 18, 1), 'features.3.branches.0.0.'),
    'block-36-72-s2': ((36, 72, 2), 'features.4.fuse_layers.2.0.'),
}
CASES = ('partial', 'no7', 'all-dead')


def load(shared, name):
    """Layout and the supernet it describes."""
    layout = json.loads((shared / f'reference/layouts/{name}.json').read_text())
    mode = MODE_OF[name.removeprefix(PREFIX)]
    return layout, NASPose(space=dict(base='keypoint', transformer=mode))


@pytest.fixture(scope='module')
def prune(shared):
    """The golden numbers and arrays of shrinking."""
    path = shared / 'reference/outputs/hrnas-prune.json'
    return json.loads(path.read_text()), np.load(path.with_suffix('.npz'))


@pytest.fixture(scope='module')
def net_weights(shared, prune, reference_fill):
    """Scaled weights of the supernet, with the golden's importances."""
    layout, _ = load(shared, PREFIX)
    scale = prune[0]['net']['scale']
    weights = weights_of(layout['state_dict'], reference_fill, scale)
    return with_gammas(weights, prune[1], 'net.gamma.', 183)


@pytest.fixture(scope='module')
def token_weights(shared, prune, reference_fill):
    """Scaled weights of the supernet with transformers, with the golden's tokens."""
    layout, _ = load(shared, f'{PREFIX}-transformer')
    weights = weights_of(layout['state_dict'], reference_fill, layout['scale'])
    return with_gammas(weights, prune[1], 'transformer.gamma.', 44)


def with_gammas(weights, arrays, prefix, count):
    """Weights with importances replaced by those stored under ``prefix``."""
    stored = {
        name.removeprefix(prefix): torch.from_numpy(arrays[name])
        for name in arrays.files
        if name.startswith(prefix)
    }
    assert len(stored) == count
    assert set(stored) <= set(weights)
    return {**weights, **stored}


def without_unused(shapes):
    """Shapes of a state dict without the leftovers of a distillation."""
    return {key: shape for key, shape in shapes.items() if '.bns.' not in f'.{key}'}


def weights_of(shapes, fill, scale=()):
    """Deterministic weights under the original keys that are used."""
    return original_weights(without_unused(shapes), fill, scale)


def shapes_of(weights):
    return {key: list(value.shape) for key, value in weights.items()}


def loaded(weights, arch=None, space='keypoint', dtype=torch.float32):
    """A network in eval mode with upstream's weights, converted strictly."""
    net = NASPose(arch, space)
    net.load_state_dict(convert(weights, net), strict=True)
    return net.to(dtype).eval()


def heatmaps(net, fill):
    """Heatmaps of the image that every golden was made with."""
    image = torch.from_numpy(fill.image(*SIZE))
    with torch.no_grad():
        return net(image.to(net.head.final_layer.weight.dtype)).numpy()


def silence(net, threshold=1e-3):
    """Set every channel's importance that is dead to exactly 0."""
    for block in net.modules():
        for op in block.ops if isinstance(block, SearchingBlock) else ():
            op.importance.data[op.importance.abs() <= threshold] = 0
    return net


def shrink(net):
    """Our own cut of every dead channel, on the network as it stands."""
    for (_, block), masks in zip(net.backbone.named_blocks(), living(net), strict=True):
        block.cut(*masks)
    return net


def placed(net):
    """Place and form of every block."""
    return list(zip(net.backbone.places, net.backbone.arch, strict=True))


def macs_of(net, cost=MacsCost, size=SIZE):
    return cost(size).network(net.space, net.arch)


# --- supernets ---


@every_layout
def test_supernet_loads_strictly_and_has_the_published_size(shared, name):
    layout, net = load(shared, name)
    weights = {k: torch.zeros(shape) for k, shape in layout['state_dict'].items()}
    done = translate(weights, net)
    assert done.layout.name == 'HR-NAS'
    used = without_unused(layout['state_dict'])
    assert {item.key for item in done.dropped} == set(weights) - set(used)
    assert len(done.state_dict) == len(used) == len(net.state_dict())
    assert net.load_state_dict(done.state_dict, strict=True)
    params = sum(p.numel() for p in net.parameters())
    assert params == layout['params_without_distill_bns']
    parallel = {f'module.{key}': value for key, value in weights.items()}
    assert shapes_of(convert(parallel, net)) == shapes_of(done.state_dict)


@every_layout
def test_block_order_is_upstreams(shared, name):
    layout, net = load(shared, name)
    ours = [
        [p.in_channels, p.out_channels, p.stride, list(b.kernels), list(b.channels)]
        for p, b in placed(net)
    ]
    assert ours == [entry[:5] for entry in layout['blocks'].values()]
    # Where a key of the first block goes shows which of ours it is.
    names = [name for name, _ in net.backbone.named_blocks()]
    for key, name in zip(layout['blocks'], names, strict=True):
        converted, _ = apply(LAYOUTS[0], {f'{key}.pw_bn.weight': torch.ones(1)})
        assert next(iter(converted)).startswith(f'backbone.{name}.')


@every_layout
def test_supernet_macs(shared, name):
    layout, net = load(shared, name)
    assert tuple(layout['input_size']) == SIZE
    assert round(complexity(net, SIZE).macs / 1e9, 4) == layout['gmacs']
    published = macs_of(net.backbone, PublishedMacsCost) + HEAD
    assert published == layout['upstream_profiler_macs']['256x192']


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'key'), OUTPUTS or [('absent', '')])
def test_supernet_heatmaps(shared, reference_fill, name, key):
    """Plain weights give values up to 1e11: those are compared relatively."""
    layout, net = load(shared, name)
    scale = layout['scale'] if key == 'heatmaps_scaled' else ()
    weights = weights_of(layout['state_dict'], reference_fill, scale)
    net.load_state_dict(convert(weights, net), strict=True)
    expected = np.load(shared / f'reference/outputs/{name}.npz')[key]
    found = heatmaps(net.eval(), reference_fill)
    assert np.abs(expected).max() > 10
    if scale:
        assert np.abs(found - expected).max() < 1e-3
    assert relative_error(found, expected) < 1e-5


# --- shrinking one block ---


@pytest.fixture(
    params=[(name, case) for name in BLOCKS for case in CASES], ids='-'.join
)
def golden(shared, prune, reference_fill, request):
    """A golden block: figures, arrays, weights with its importances, and builder."""
    name, case = request.param
    ends, prefix = BLOCKS[name]
    layout, _ = load(shared, PREFIX)
    shapes = {
        key.removeprefix(prefix): shape
        for key, shape in layout['state_dict'].items()
        if key.startswith(prefix)
    }
    weights = weights_of(shapes, reference_fill)
    for index in range(3):
        stored = prune[1][f'{name}.{case}.gamma.ops.{index}.1.1']
        weights[f'ops.{index}.1.1.weight'] = torch.from_numpy(stored)

    def build(weights, kernels=(3, 5, 7), channels=(4 * ends[0],) * 3, dtype=None):
        """A block that loaded upstream's weights by the converter's table."""
        form = dict(kernels=kernels, channels=channels, norm_cfg=dict(type='BN'))
        block = SearchingBlock(*ends, **form)
        converted, _ = apply(LAYOUTS[0], weights)
        prefix = 'backbone.transform.'
        block.load_state_dict({k.removeprefix(prefix): v for k, v in converted.items()})
        return block.to(dtype).eval()

    return SimpleNamespace(
        **prune[0][name][case],
        # A block needs a name to be cut under; the table knows this one.
        weights={f'transform.{key}': value for key, value in weights.items()},
        image=torch.from_numpy(prune[1][f'{name}.x']),
        outputs=[prune[1][f'{name}.{case}.out_{when}'] for when in ('before', 'after')],
        build=build,
    )


@torch.no_grad()
def test_block_before_and_after_the_official_shrinking(golden):
    shrunk = upstream_shrink(golden.weights)
    assert shapes_of(shrunk) == {
        f'transform.{key}': shape
        for key, shape in without_unused(golden.state_dict_after).items()
    }
    official = golden.build(shrunk, golden.kernel_sizes, golden.channels)
    blocks = (golden.build(golden.weights), official)
    before, after = (block(golden.image).numpy() for block in blocks)
    for found, expected in zip((before, after), golden.outputs, strict=True):
        assert relative_error(found, expected) < 1e-6
    distance = float(np.abs(before - after).max())
    assert distance == pytest.approx(golden.before_vs_after['max_abs'], rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(
    ('dtype', 'allowed'), [(torch.float32, 1e-6), (torch.float64, 1e-12)]
)
def test_cutting_a_block_is_exact(golden, dtype, allowed):
    """Where importances are 0, eval keeps its result, whatever dies."""
    image = golden.image.to(dtype)
    block = silence(golden.build(golden.weights, dtype=dtype))
    before = block(image)
    block.cut([op.importance.abs() > 1e-3 for op in block.ops])
    after = block(image)
    form = block.kernels, block.channels
    assert form == (tuple(golden.kernel_sizes), tuple(golden.channels))
    assert relative_error(after.numpy(), before.numpy()) < allowed
    # Without the compensation the same cut differs by what the golden says.
    uncompensated = golden.build(upstream_shrink(golden.weights), *form, dtype)
    distance = float((before - uncompensated(image)).abs().max())
    lost = golden.before_gamma0_vs_after['max_abs']
    assert distance == pytest.approx(lost, rel=1e-4)


# --- shrinking the network ---


def test_official_shrunk_state_dict(prune, net_weights):
    """Our slicing gives the shapes that upstream's gave, and they load everywhere."""
    golden = prune[0]['net']
    weights = upstream_shrink(net_weights)
    assert shapes_of(weights) == without_unused(golden['state_dict_after'])
    setting = golden['inverted_residual_setting']
    supernet, searched = NASPose(), NASPose(setting)
    for net in (supernet, searched):
        converted = convert({f'module.{k}': v for k, v in weights.items()}, net)
        assert net.load_state_dict(converted, strict=True)
    assert list(supernet.state_dict()) == list(searched.state_dict())
    assert [*dict(supernet.named_parameters())] == [*dict(searched.named_parameters())]
    backbone = searched.backbone
    assert supernet.backbone.arch == backbone.arch
    assert backbone.arch == parse_arch(backbone.space, setting)
    assert [[list(block.kernels), list(block.channels)] for block in backbone.arch] == [
        [block['kernel_sizes'], block['channels']]
        for block in golden['blocks'].values()
    ]
    params = sum(p.numel() for p in searched.parameters())
    # Upstream keeps the norms of dead blocks, though it skips them.
    dead = [block for _, block in backbone.named_blocks() if not block.ops]
    unused = sum(block.out_channels * 2 for block in dead)
    assert params + unused == golden['params_after_without_bns']
    for size, macs in golden['macs_after'].items():
        height, width = map(int, size.split('x'))
        found = macs_of(backbone, size=(height, width))
        assert found + 90 * 17 * height * width // 16 == macs
    assert complexity(searched, SIZE).macs == golden['macs_after']['256x192']


def test_unused_norms_of_dead_blocks_are_accounted_for(net_weights):
    done = translate(upstream_shrink(net_weights))
    reasons = {item.key: item.row.reason for item in done.dropped}
    dead = {name for name in reasons if '.pw_bn.' in name}
    assert len(dead) == len(reasons) == 9 * 5
    assert all('lost all its convolutions' in reason for reason in reasons.values())
    assert sum(key.endswith('.constant') for key in done.state_dict) == 9


def test_a_contradicting_architecture_names_both(prune, net_weights):
    setting = json.loads(json.dumps(prune[0]['net']['inverted_residual_setting']))
    kernels, (first, second, third) = setting[4][3:5]
    setting[4][3:5] = [kernels[:2], [first, second - 1]]
    net = NASPose(setting)
    one = f'kernels=(3, 5), channels=({first}, {second - 1})'
    other = f'kernels=(3, 5, 7), channels=({first}, {second}, {third})'
    both = (
        r'in 1 blocks:\n.*features\.3\.branches\.0\.0: config BlockArch\('
        rf'{re.escape(one)}.*weights BlockArch\({re.escape(other)}'
    )
    weights = upstream_shrink(net_weights)
    with pytest.raises(ValueError, match=both):
        convert(weights, net)
    with pytest.raises(ValueError, match=both):
        net.load_state_dict(convert(weights), strict=True)


def test_a_key_that_lacks_or_is_too_many(net_weights):
    """Also in files that were cut short somewhere."""
    net, last = NASPose(), 'transform.pw_bn.bias'
    without_last = {k: v for k, v in net_weights.items() if k != last}
    cut = {k: v for k, v in net_weights.items() if not k.endswith('.pw_bn.bias')}
    for weights, message in (
        (without_last, r'1 missing.*\n.*transform\.pw_bn\.bias'),
        (upstream_shrink(cut), r'\d+ missing'),
        (
            {**net_weights, 'transform.ops.0.3.weight': torch.ones(1)},
            r'leaves 1 keys over.*\n.*ops\.0\.3\.weight',
        ),
        (
            {**net_weights, last: torch.ones(9)},
            r'another shape.*expected \(\d+,\).*\(9,\)',
        ),
    ):
        with pytest.raises(ValueError, match=message):
            convert(weights, net)


def test_command_line_converts_a_shrunk_network(net_weights, tmp_path):
    source, target = tmp_path / 'a.pth', tmp_path / 'b.pth'
    weights = upstream_shrink(net_weights)
    torch.save({f'module.{key}': value for key, value in weights.items()}, source)
    (config,) = (ROOT / 'configs/hrnas').glob('td-hm_hrnas-supernet_*coco-256x192.py')
    said = run_tool('convert_checkpoint', source, target, '--config', config)
    assert 'layout: HR-NAS' in said
    assert 'lost all its convolutions' in said
    assert 'load strictly into' in said
    net = NASPose()
    load_checkpoint(net, str(target), map_location='cpu', strict=True)
    assert not all(block.ops for _, block in net.backbone.named_blocks())


@pytest.mark.slow
@pytest.mark.parametrize(
    ('key', 'compensate'),
    [('net.heatmaps_after', False), ('net.heatmaps_after_compensated', True)],
)
def test_official_shrunk_heatmaps(prune, net_weights, reference_fill, key, compensate):
    net = loaded(upstream_shrink(net_weights, compensate=compensate))
    found = heatmaps(net, reference_fill)
    assert relative_error(found, prune[1][key]) < 1e-5


@pytest.mark.slow
def test_cut_network(prune, net_weights, reference_fill):
    """Our cut is upstream's with its compensation, plus the constants of dead blocks.

    Importances of 1e-4 instead of 0 are what upstream's figures were made with.
    """
    golden, arrays = prune
    net = loaded(net_weights)
    before = heatmaps(net, reference_fill)
    assert relative_error(before, arrays['net.heatmaps_before']) < 1e-5
    after = heatmaps(shrink(net), reference_fill)
    assert relative_error(after, before) < 2e-3
    for _, block in net.backbone.named_blocks():
        if block.constant is not None:
            assert block.constant.any()
            block.constant.zero_()
    stored = arrays['net.heatmaps_after_compensated']
    upstream = heatmaps(net, reference_fill)
    assert relative_error(upstream, stored) < 1e-5
    key = 'gamma=1e-4: before vs shrink + BN-mean compensation (disabled upstream)'
    expected = golden['net']['differences'][key]['max_abs']
    assert float(np.abs(upstream - before).max()) == pytest.approx(expected, rel=1e-3)
    setting = golden['net']['inverted_residual_setting']
    assert net.backbone.arch == parse_arch(net.backbone.space, setting)


@pytest.mark.slow
def test_cutting_silent_channels_is_exact(net_weights, reference_fill):
    """A seventh of the blocks dies altogether, and nothing is seen of it.

    In single precision this network's own rounding is about 1e-6, cut or not.
    """
    results = {}
    for dtype in (torch.float32, torch.float64):
        net = silence(loaded(net_weights, dtype=dtype))
        before = heatmaps(net, reference_fill)
        after = heatmaps(shrink(net), reference_fill)
        results[dtype] = before, after
        again = NASPose().to(dtype)
        again.load_state_dict(net.state_dict(), strict=True)
        assert np.array_equal(heatmaps(again.eval(), reference_fill), after)
    exact, cut = results[torch.float64]
    assert relative_error(cut, exact) < 1e-12
    single, cut = results[torch.float32]
    rounding = relative_error(single, exact)
    assert rounding < 2e-6
    assert relative_error(cut, exact) < max(1e-6, 1.5 * rounding)
    assert relative_error(cut, single) < max(1e-6, 2 * rounding)


# --- transformers ---


@pytest.mark.slow
def test_rebuilt_transformers(prune, reference_fill):
    """A new network with the tokens that upstream's search would have left."""
    golden, arrays = prune[0]['transformer'], prune[1]
    scale = prune[0]['net']['scale']
    weights = weights_of(golden['rebuilt_state_dict'], reference_fill, scale)
    net = loaded(weights, space=dict(base='keypoint', transformer='residual'))
    queries = iter(golden['queries'].values())
    for place, block in placed(net):
        assert block.tokens == (next(queries) if place.is_residual else 0)
    assert not [*queries]
    for built in (net, loaded(weights)):  # the second without a word of transformers
        found = heatmaps(built, reference_fill)
        assert relative_error(found, arrays['transformer.heatmaps_rebuilt']) < 1e-5


@pytest.mark.slow
def test_sliced_tokens(prune, token_weights, reference_fill):
    """Cut here and cut under upstream's names; tokens really leave."""
    golden, arrays = prune
    net = loaded(token_weights, space=dict(base='keypoint', transformer='residual'))
    before = heatmaps(net, reference_fill)
    assert relative_error(before, arrays['transformer.heatmaps_before']) < 1e-5
    shrink(net)
    queries = [n for n in golden['transformer']['queries'].values() if n]
    assert [block.tokens for block in net.backbone.arch if block.tokens] == queries
    sliced = loaded(upstream_slice_tokens(token_weights))
    assert sliced.backbone.arch == net.backbone.arch
    for cut in (net, sliced):
        found = heatmaps(cut, reference_fill)
        assert relative_error(found, arrays['transformer.heatmaps_sliced']) < 1e-5
    assert macs_of(net.backbone) + HEAD == complexity(net, SIZE).macs


# --- what a channel costs ---


COST = PublishedMacsCost((224, 224))  # upstream profiles so whatever the input


def split_weights(net):
    """Penalty weights of convolutions and of transformers, in block order."""
    transformers = (block.transformer for _, block in net.backbone.named_blocks())
    tokens = {id(part.importance) for part in transformers if part is not None}
    found = ([], [])
    for gamma, weight in ResourcePenalty(net.backbone, COST).weights(net.backbone):
        found[id(gamma) in tokens].append(weight)
    return found


def by_block(golden, prune):
    """Values of a dict over upstream's keys, in the order of blocks and kernels."""
    order = list(prune[0]['net']['blocks'])

    def rank(key):
        name = re.sub(r'\.(?:ops\.\d\.1\.1|transformer\.input_norm)\.weight$', '', key)
        return order.index(name), key

    return [golden[key] for key in sorted(golden, key=rank)]


def test_penalties_of_convolutions(prune, net_weights):
    golden = prune[0]['net']
    net = NASPose()
    weights, _ = split_weights(net)
    assert len(weights) == 183
    expected = by_block(golden['penalty'], prune)
    np.testing.assert_allclose(weights, expected, rtol=1e-12)
    per_channel = [
        COST.channel(place, kernel, width)
        for place, block in placed(net)
        for kernel, width in zip(block.kernels, block.channels, strict=True)
    ]
    assert per_channel == by_block(golden['per_channel_macs_224'], prune)
    net.load_state_dict(convert(net_weights))
    value = float(ResourcePenalty(net.backbone, COST)(net.backbone).detach())
    assert value * 1e-6 == pytest.approx(golden['l1_rho_1e6'], rel=1e-5)


def test_penalties_stay_when_channels_leave(prune, net_weights):
    """A channel of the shrunk network costs what it cost in the supernet."""
    golden = prune[0]['net']
    net = NASPose()
    net.load_state_dict(convert(upstream_shrink(net_weights), net))
    found, _ = split_weights(net)
    assert len(found) == golden['surgery']['prune_info_entries'][1]
    expected = [
        golden['penalty'][f'{name}.ops.{(3, 5, 7).index(kernel)}.1.1.weight']
        for name, block in zip(golden['blocks'], net.backbone.arch, strict=True)
        for kernel in block.kernels
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ('key', 'count'), [('transformer', 44), ('transformer-ds', 61)]
)
def test_penalties_of_tokens(shared, prune, reference_fill, key, count):
    golden, arrays = prune[0][key], prune[1]
    layout, net = load(shared, f'{PREFIX}-{key}')
    mean = ResourcePenalty(net.backbone, COST).mean
    assert mean == pytest.approx(golden['norm_factor'], rel=1e-12)
    forms = [(place, block.tokens) for place, block in placed(net) if block.tokens]
    macs = [COST.transformer(*form) for form in forms]
    assert macs == by_block(golden['macs_224'], prune)
    weights = weights_of(layout['state_dict'], reference_fill, layout['scale'])
    after = dict(weights)
    for name, alive in golden['queries'].items():
        stored = f'transformer.gamma.{name}'
        if stored in arrays.files:
            gamma = torch.from_numpy(arrays[stored])
        else:  # only the counts of the other blocks were kept
            gamma = torch.cat((torch.ones(alive), torch.zeros(64 - alive)))
        assert int((gamma > 1e-3).sum()) == alive
        after[name] = gamma
    for given, name in ((weights, 'initial'), (after, 'after')):
        net.load_state_dict(convert(given))
        _, found = split_weights(net)
        assert len(found) == count
        expected = by_block(golden[f'penalty_{name}'], prune)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


# --- a stranger's clone ---


SIZES = [(64, 48), (100, 76), (33, 65), (1, 1)]
FULL = [SIZE, (384, 288), (100, 76), (127, 93)]


@pytest.mark.parametrize(
    ('base', 'transformer', 'sizes'),
    [
        *(('mini', mode, [size]) for mode in TRANSFORMERS for size in SIZES),
        *(pytest.param(*row, FULL, marks=pytest.mark.slow) for row in SPACE_ROWS),
    ],
)
def test_macs_are_counted_exactly(base, transformer, sizes):
    net = HRNASNet(space=dict(base=base, transformer=transformer))
    for size in sizes:
        assert macs_of(net, size=size) == complexity(net, size).macs, size


@pytest.mark.parametrize(('base', 'transformer'), SPACE_ROWS)
def test_own_golden(request, base, transformer):
    """Outputs at a size that resizes everywhere, and a norm's statistics."""
    net = NASPose(space=dict(base=base, transformer=transformer)).double()
    fill_from(net, own_fill)
    image = torch.from_numpy(np.random.RandomState(3).uniform(-2, 2, (1, 3, 60, 92)))
    with torch.no_grad():
        found = {'eval': net.eval()(image).numpy()}
        for block in (b for b in net.train().modules() if hasattr(b, 'dropout')):
            block.eval()
        found['train'] = net(image.repeat(2, 1, 1, 1)).numpy()[:1]
    norm = net.backbone.features[1].branches[0][0].pw_bn
    found['running_mean'] = norm.running_mean.numpy()
    check_golden(request, f'hrnasnet_{base}-{transformer or "conv"}', found)


def test_full_arch_is_the_published_supernet():
    """Four hidden channels per channel and kernel, 61 blocks, 64 tokens or none."""
    for transformer, count in ((None, 0), ('residual', 44), ('all', 61)):
        blocks = full_arch(
            resolve_space(dict(base='keypoint', transformer=transformer))
        )
        assert len(blocks) == 61
        assert sum(block.tokens == 64 for block in blocks) == count
        assert sum(block.tokens > 0 for block in blocks) == count
        assert blocks[0] == BlockArch((3, 5, 7), (96, 96, 96), blocks[0].tokens)
