"""Each pass alone: what it removes, and that nothing else changes."""

import copy

import pytest
import torch
from mmcv.cnn import ConvModule
from mmpose.models.backbones import HRNet, ResNet
from parity import fill_from, own_fill
from passes_cases import (
    TOLERANCE,
    before_and_after,
    build,
    calls,
    count,
    difference,
    image,
    tiny,
)
from rows import hrnet_extra
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmpose_lite.deploy import CHANNEL_LAYOUTS
from mmpose_lite.deploy.passes.attention import AxisAttention
from mmpose_lite.deploy.passes.fold import fold_norms
from mmpose_lite.deploy.passes.shuffle_removal import Reorder, entry_order, shuffled
from mmpose_lite.deploy.passes.targets import (
    BlockedHRModule,
    BlockedStem,
    ConvolvedAttention,
    FusedConv,
    fuse_for_eager,
)
from mmpose_lite.models.backbones import LiteHRNet, XHRNet
from mmpose_lite.models.layers import SUSA, ParallelSUSA


def exact(net):
    """A network in double precision, with weights and statistics."""
    fill_from(net, own_fill)
    return net.double().eval()


def assert_same(before, after, x):
    assert difference(after, before, x) < TOLERANCE


def passed(net, name, **options):
    """A network before and after a pass, which changes no output."""
    before, after = before_and_after(net, name, **options)
    assert_same(before, after, image())
    return before, after


@pytest.mark.parametrize(
    'net',
    [
        ResNet(18),
        ResNet(50, out_indices=(0, 1), num_stages=2, strides=(1, 2), dilations=(1, 1)),
        HRNet(hrnet_extra()),
    ],
    ids=['resnet', 'bottlenecks', 'hrnet'],
)
def test_norms_of_residual_networks_are_folded(net):
    exact(net)
    folded = fold_norms(copy.deepcopy(net))
    assert count(net, _BatchNorm) > 0
    assert count(folded, _BatchNorm) == 0
    assert_same(net, folded, image((64, 64)))


def test_norm_of_a_transposed_convolution_is_folded():
    layers = nn.ConvTranspose2d(3, 4, 4, stride=2, bias=False), nn.BatchNorm2d(4)
    net = exact(nn.Sequential(*layers))
    with torch.no_grad():
        folded = fold_norms(copy.deepcopy(net))
    assert [type(layer) for layer in folded] == [nn.ConvTranspose2d]
    assert_same(net, folded, image())


@pytest.mark.parametrize(
    'net',
    [
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
        ConvModule(3, 4, 1, norm_cfg=dict(type='BN'), order=('norm', 'conv', 'act')),
    ],
    ids=['not-after', 'batch-statistics', 'before'],
)
def test_norm_that_cannot_be_folded_stays(net):
    assert count(fold_norms(net.eval()), _BatchNorm) == 1


def test_doubled_path_runs_once():
    nets = passed(tiny(LiteHRNet, 'naive'), 'fold doubling')
    additions = [calls(net, image()).count('add') for net in nets]
    # One for the map itself and one per lower resolution, in both modules.
    assert additions[0] - additions[1] == (1 + 1) + (1 + 2)


def test_each_resolution_is_lifted_once():
    before, after = passed(tiny(LiteHRNet, 'naive'), 'nest up-sampling')
    lifts = [calls(m, image()).count('upsample_nearest2d') for m in (before, after)]
    assert lifts == [1 + 3, 1 + 2]
    assert count(before, nn.Conv2d) - count(after, nn.Conv2d) == 1


def test_one_network_for_all_means():
    before, after = passed(tiny(LiteHRNet, 'ccw'), 'merge ccw')
    assert count(before, nn.Conv2d) - count(after, nn.Conv2d) == 2 * 2 * (2 + 3)
    assert count(after, nn.Linear) == 2 * 2 * 2
    assert '_adaptive_avg_pool2d' not in calls(after, image())


def attention(axis):
    return exact(SUSA(6, axis, 12))


def maps(axis):
    shape = (2, 6, 8, 7) if axis == 'h' else (2, 6, 7, 8)
    return torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize('axis', ['h', 'w'])
def test_attention_is_folded(axis):
    layer, x = attention(axis), maps(axis)
    for size in (None, 8):
        assert_same(layer, AxisAttention(fold_norms(attention(axis)), size), x)
    fixed = AxisAttention(fold_norms(attention(axis)), 8)
    assert_same(layer, ConvolvedAttention(fixed), x)


@pytest.mark.parametrize('axis', ['h', 'w'])
def test_channels_that_pass_attention_are_not_touched(axis):
    layer, folded = attention(axis), AxisAttention(fold_norms(attention(axis)))
    channels = torch.tensor([4, -1, 0, 5, -1, 1, 3, 2, -1])
    folded.place(channels)
    x = torch.randn(2, 9, 8, 7, dtype=torch.float64)
    known = channels >= 0
    own = x[:, known][:, channels[known].argsort()]
    with torch.no_grad():
        out, expected = folded(x), layer(own)
    assert torch.equal(out[:, ~known], x[:, ~known])
    torch.testing.assert_close(out[:, known], expected[:, channels[known]])


@pytest.mark.parametrize('unit', ['sequential', 'parallel'])
def test_attention_in_a_network(unit):
    _, after = passed(tiny(XHRNet, unit), 'fold attention')
    assert count(after, SUSA) == 0
    # And as OpenVINO gets it.
    net = tiny(XHRNet, unit, num_modules=(2, 2))
    options = dict(target='openvino', image_size=(64, 96))
    before, after = passed(net, 'convolve attention', **options)
    assert count(before, AxisAttention) == count(after, ConvolvedAttention) > 0
    before, after = passed(net, 'convolve reorders', **options)
    assert count(before, Reorder) > 0
    assert count(after, Reorder) == 0
    assert 'index_select' not in calls(after, image())


def test_attention_of_unknown_length_is_not_convolved():
    net = tiny(XHRNet, 'sequential')
    _, after = before_and_after(net, 'convolve attention', target='openvino')
    assert count(after, ConvolvedAttention) == 0
    assert_same(net, after, image())


@pytest.mark.parametrize('layout', CHANNEL_LAYOUTS)
@pytest.mark.parametrize('blocks', [1, 2, 3])
@pytest.mark.parametrize(
    ('cls', 'unit'),
    [
        (LiteHRNet, 'ccw'),
        (LiteHRNet, 'naive'),
        (XHRNet, 'sequential'),
        (XHRNet, 'parallel'),
    ],
)
def test_shuffles_are_removed(cls, unit, blocks, layout):
    # 24 has an odd quarter of halves, and one stage has a single resolution.
    net = tiny(cls, unit, num_blocks=blocks, channels=((16,), (16, 24)))
    before, after = passed(net, 'remove shuffles', layout=layout)
    assert count(after, ParallelSUSA) == 0
    assert 'stack' in calls(before, image())
    assert 'stack' not in calls(after, image())


@pytest.mark.parametrize('layout', CHANNEL_LAYOUTS)
def test_all_maps_leave_in_the_published_order(layout):
    arch = dict(unit='ccw', num_modules=(1, 2), channels=((8, 16), (8, 16, 24)))
    net = build(LiteHRNet, dict(arch, stem_channels=8), with_head=False).double()
    _, after = passed(net, 'remove shuffles', layout=layout)
    assert len(after(image())) == 3


def test_full_layout_moves_no_channel():
    net = tiny(LiteHRNet, 'ccw', num_modules=(2, 2))
    _, runs = before_and_after(net, 'remove shuffles', layout='runs')
    _, full = before_and_after(net, 'remove shuffles', layout='full')
    assert count(runs, Reorder) > 0
    assert count(full, Reorder) == 0


@pytest.mark.parametrize('width', [8, 30, 40])
def test_two_blocks_each_change_a_run(width):
    labels = entry_order(width, 2)
    assert labels.sort().values.tolist() == list(range(width))
    for _ in range(2):
        changed = (labels >= width // 2).int()
        assert changed.sum() == width // 2
        assert (changed.diff() != 0).sum() <= 2
        labels = shuffled(labels)


def test_order_matters():
    """The comparison would see a permutation that was carried wrongly."""
    before, after = before_and_after(tiny(LiteHRNet, 'ccw'), 'remove shuffles')
    conv = after.stages[-1][-1].fusion.lifts[-1]
    conv.weight.data = conv.weight[:, torch.arange(24).roll(1)]
    assert difference(after, before, image()) > 1e-4


@pytest.mark.parametrize('blocks', [1, 2, 3])
@pytest.mark.parametrize('with_head', [True, False])
def test_weightings_stay_in_blocks(blocks, with_head):
    """What ONNX Runtime gets."""
    # 24 channels are one block and a half, 10 hidden ones none.
    arch = dict(unit='ccw', num_modules=(1, 2), channels=((16,), (16, 24)))
    arch.update(stem_channels=16, num_blocks=blocks)
    net = build(LiteHRNet, arch, with_head=with_head).double()
    _, after = passed(net, 'stay in blocks', target='onnxruntime')
    assert_same(net, after, image())
    assert count(after, BlockedHRModule) == 3
    assert count(after, BlockedStem) == 1
    filters = [m for m in after.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert {16, 32} <= {m.out_channels for m in filters if m.stride == (1, 1)}
    names = calls(after, image())
    assert not {'split', 'split_with_sizes', 'slice'} & {*names}


@pytest.mark.parametrize(
    ('cls', 'unit', 'layout'),
    [
        (LiteHRNet, 'ccw', 'runs'),
        (LiteHRNet, 'ccw', 'full'),
        (XHRNet, 'sequential', None),
    ],
)
def test_other_layouts_and_units_are_not_blocked(cls, unit, layout):
    net = tiny(cls, unit, channels=((24, 24), (24, 24, 24)))
    options = dict(target='onnxruntime', layout=layout)
    _, after = before_and_after(net, 'stay in blocks', **options)
    assert count(after, BlockedHRModule, BlockedStem) == 0


@pytest.mark.parametrize('cls', [LiteHRNet, XHRNet])
def test_one_operator_for_convolution_sum_and_activation(cls):
    net = tiny(cls, 'naive').float()
    picture = image(dtype=torch.float32)
    before, after = before_and_after(net, 'fuse for eager', target='eager')
    assert difference(after, before, picture) < 1e-5
    if torch.backends.mkldnn.is_available():
        names = calls(after, picture)
        # What is left is the sum of the highest resolution, once per module.
        assert names.count('relu') + names.count('relu_') == 2


@pytest.mark.parametrize('other', [False, True])
@pytest.mark.parametrize('activation', [None, 'relu', 'sigmoid'])
def test_with_and_without_post_operations(activation, other):
    conv = FusedConv(nn.Conv2d(3, 5, 3, stride=2, padding=1), activation)
    inputs = [image(dtype=torch.float32), torch.randn(2, 5, 32, 48)][: 1 + other]
    kept = [x.clone() for x in inputs]
    with torch.no_grad():
        fast = conv(*inputs)
        slow = conv.double()(*(x.double() for x in kept))
    torch.testing.assert_close(fast, slow.float())
    torch.testing.assert_close(inputs, kept, rtol=0, atol=0)


def test_convolutions_that_cannot_be_fused_stay():
    net = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode='reflect'))
    assert type(fuse_for_eager(net)[0]) is nn.Conv2d
