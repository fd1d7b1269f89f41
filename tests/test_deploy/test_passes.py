"""Each pass alone: what it removes, and that nothing else changes."""

import copy

import pytest
import torch
from mmcv.cnn import ConvModule
from mmpose.models.backbones import HRNet, ResNet
from parity import fill_from, own_fill
from passes_cases import TOLERANCE, before_and_after, build, calls, count, image, tiny
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmpose_lite.deploy import CHANNEL_LAYOUTS, relative_difference
from mmpose_lite.deploy.passes.attention import AxisAttention, ConvolvedAttention
from mmpose_lite.deploy.passes.blocks import BlockedHRModule, BlockedStem
from mmpose_lite.deploy.passes.channel_slots import Reorder, entry_order, shuffled
from mmpose_lite.deploy.passes.eager import FusedConv, fuse_for_eager
from mmpose_lite.deploy.passes.fold import fold_norms
from mmpose_lite.models.backbones import LiteHRNet, XHRNet
from mmpose_lite.models.layers import SUSA, ParallelSUSA


def assert_same(before, after, *inputs):
    with torch.no_grad():
        found, expected = after(*inputs), before(*inputs)
    if isinstance(found, torch.Tensor):
        found, expected = [found], [expected]
    assert relative_difference(found, expected) < TOLERANCE


class TestFoldNorms:
    @pytest.mark.parametrize(
        'net',
        [
            ResNet(18),
            ResNet(
                50, out_indices=(0, 1), num_stages=2, strides=(1, 2), dilations=(1, 1)
            ),
            HRNet(
                {
                    f'stage{i}': dict(
                        num_modules=1,
                        num_branches=i,
                        block='BOTTLENECK' if i == 1 else 'BASIC',
                        num_blocks=(1,) * i,
                        num_channels=(8, 16, 32, 64)[:i],
                    )
                    for i in range(1, 5)
                }
            ),
        ],
        ids=['resnet', 'bottlenecks', 'hrnet'],
    )
    def test_residual_networks(self, net):
        net.eval()
        fill_from(net, own_fill)
        net.double()
        folded = fold_norms(copy.deepcopy(net))
        assert count(net, _BatchNorm) > 0
        assert count(folded, _BatchNorm) == 0
        assert_same(net, folded, image((64, 64)))

    def test_transposed_convolution(self):
        net = nn.Sequential(
            nn.ConvTranspose2d(3, 4, 4, stride=2, groups=1, bias=False),
            nn.BatchNorm2d(4),
        )
        fill_from(net, own_fill)
        net.double().eval()
        with torch.no_grad():
            folded = fold_norms(copy.deepcopy(net))
        assert isinstance(folded[0], nn.ConvTranspose2d)
        assert len(folded) == 1
        assert_same(net, folded, image())

    @pytest.mark.parametrize(
        'net',
        [
            nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)),
            nn.Sequential(
                nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)
            ),
            ConvModule(
                3, 4, 1, norm_cfg=dict(type='BN'), order=('norm', 'conv', 'act')
            ),
        ],
        ids=['not-after', 'batch-statistics', 'before'],
    )
    def test_what_cannot_be_folded_stays(self, net):
        assert count(fold_norms(net.eval()), _BatchNorm) == 1


class TestFusionLayers:
    def test_doubled_path_runs_once(self):
        before, after = before_and_after(tiny(LiteHRNet, 'naive'), 'fold doubling')
        assert_same(before, after, image())
        additions = [calls(m, image()).count('add') for m in (before, after)]
        # One for the map itself and one per lower resolution, in both modules.
        assert additions[0] - additions[1] == (1 + 1) + (1 + 2)

    def test_each_resolution_is_lifted_once(self):
        before, after = before_and_after(tiny(LiteHRNet, 'naive'), 'nest up-sampling')
        assert_same(before, after, image())
        lifts = [calls(m, image()).count('upsample_nearest2d') for m in (before, after)]
        assert lifts == [1 + 3, 1 + 2]
        assert count(before, nn.Conv2d) - count(after, nn.Conv2d) == 1


class TestCCW:
    def test_one_network_for_all_means(self):
        before, after = before_and_after(tiny(LiteHRNet, 'ccw'), 'merge ccw')
        assert_same(before, after, image())
        assert count(before, nn.Conv2d) - count(after, nn.Conv2d) == 2 * 2 * (2 + 3)
        assert count(after, nn.Linear) == 2 * 2 * 2
        assert '_adaptive_avg_pool2d' not in calls(after, image())


class TestAttention:
    def layer(self, axis, width=6):
        layer = SUSA(width, axis, 12)
        fill_from(layer, own_fill)
        return layer.double().eval()

    @pytest.mark.parametrize('size', [None, 8])
    @pytest.mark.parametrize('axis', ['h', 'w'])
    def test_folded(self, axis, size):
        shape = (2, 6, 8, 7) if axis == 'h' else (2, 6, 7, 8)
        x = torch.randn(shape, dtype=torch.float64)
        folded = AxisAttention(fold_norms(self.layer(axis)), size)
        assert_same(self.layer(axis), folded, x)

    @pytest.mark.parametrize('axis', ['h', 'w'])
    def test_channels_that_pass_are_not_touched(self, axis):
        layer = self.layer(axis)
        folded = AxisAttention(fold_norms(self.layer(axis)))
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
    def test_in_a_network(self, unit):
        before, after = before_and_after(tiny(XHRNet, unit), 'fold attention')
        assert count(after, SUSA) == 0
        assert_same(before, after, image())


class TestShuffles:
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
    def test_absorbed(self, cls, unit, blocks, layout):
        # 24 has an odd quarter of halves, and one stage has a single resolution.
        arch = dict(num_blocks=blocks, channels=((16,), (16, 24)))
        net = tiny(cls, unit, **arch)
        before, after = before_and_after(net, 'remove shuffles', layout=layout)
        assert_same(before, after, image())
        assert count(after, ParallelSUSA) == 0
        assert 'stack' in calls(before, image())
        assert 'stack' not in calls(after, image())

    @pytest.mark.parametrize('layout', CHANNEL_LAYOUTS)
    def test_all_maps_leave_in_the_published_order(self, layout):
        arch = dict(unit='ccw', num_modules=(1, 2), channels=((8, 16), (8, 16, 24)))
        net = build(LiteHRNet, dict(arch, stem_channels=8), with_head=False).double()
        before, after = before_and_after(net, 'remove shuffles', layout=layout)
        assert len(after(image())) == 3
        assert_same(before, after, image())

    def test_full_layout_moves_no_channel(self):
        net = tiny(LiteHRNet, 'ccw', num_modules=(2, 2))
        _, runs = before_and_after(net, 'remove shuffles', layout='runs')
        _, full = before_and_after(net, 'remove shuffles', layout='full')
        assert count(runs, Reorder) > 0
        assert count(full, Reorder) == 0

    @pytest.mark.parametrize('width', [8, 30, 40])
    def test_two_blocks_each_change_a_run(self, width):
        labels = entry_order(width, 2)
        assert labels.sort().values.tolist() == list(range(width))
        for _ in range(2):
            changed = (labels >= width // 2).int()
            assert changed.sum() == width // 2
            assert (changed.diff() != 0).sum() <= 2
            labels = shuffled(labels)

    def test_order_matters(self):
        """The comparison would see a permutation that was carried wrongly."""
        before, after = before_and_after(tiny(LiteHRNet, 'ccw'), 'remove shuffles')
        conv = after.stages[-1][-1].fusion.lifts[-1]
        with torch.no_grad():
            conv.weight.copy_(conv.weight[:, torch.arange(24).roll(1)])
            found, expected = after(image()), before(image())
        assert relative_difference(found, expected) > 1e-4


class TestBlocks:
    """What ONNX Runtime gets."""

    @pytest.mark.parametrize('blocks', [1, 2, 3])
    @pytest.mark.parametrize('with_head', [True, False])
    def test_weightings(self, blocks, with_head):
        # 24 channels are one block and a half, 10 hidden ones none.
        arch = dict(unit='ccw', num_modules=(1, 2), channels=((16,), (16, 24)))
        arch.update(stem_channels=16, num_blocks=blocks)
        net = build(LiteHRNet, arch, with_head=with_head).double()
        before, after = before_and_after(net, 'stay in blocks', target='onnxruntime')
        assert_same(before, after, image())
        assert_same(net, after, image())
        assert count(after, BlockedHRModule) == 3
        assert count(after, BlockedStem) == 1
        maps = [m for m in after.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
        widths = {m.out_channels for m in maps if m.stride == (1, 1)}
        assert {16, 32} <= widths
        names = calls(after, image())
        assert not {'split', 'split_with_sizes', 'slice'} & {*names}

    @pytest.mark.parametrize('layout', ['runs', 'full'])
    def test_other_layouts_stay(self, layout):
        net = tiny(LiteHRNet, 'ccw', channels=((24, 24), (24, 24, 24)))
        options = dict(target='onnxruntime', layout=layout)
        _, after = before_and_after(net, 'stay in blocks', **options)
        assert count(after, BlockedHRModule, BlockedStem) == 0

    def test_other_units_stay(self):
        net = tiny(XHRNet, 'sequential')
        _, after = before_and_after(net, 'stay in blocks', target='onnxruntime')
        assert count(after, BlockedHRModule, BlockedStem) == 0


class TestConvolving:
    """What OpenVINO gets."""

    @pytest.mark.parametrize('axis', ['h', 'w'])
    def test_attention(self, axis):
        layer = AxisAttention(fold_norms(TestAttention().layer(axis)), 8)
        shape = (2, 6, 8, 7) if axis == 'h' else (2, 6, 7, 8)
        x = torch.randn(shape, dtype=torch.float64)
        assert_same(layer, ConvolvedAttention(layer), x)

    @pytest.mark.parametrize('unit', ['sequential', 'parallel'])
    def test_in_a_network(self, unit):
        net = tiny(XHRNet, unit, num_modules=(2, 2))
        options = dict(target='openvino', image_size=(64, 96))
        before, after = before_and_after(net, 'convolve attention', **options)
        assert count(before, AxisAttention) == count(after, ConvolvedAttention) > 0
        assert_same(before, after, image())
        before, after = before_and_after(net, 'convolve reorders', **options)
        assert count(before, Reorder) > 0
        assert count(after, Reorder) == 0
        assert_same(before, after, image())
        assert 'index_select' not in calls(after, image())

    def test_axes_of_unknown_length_stay(self):
        net = tiny(XHRNet, 'sequential')
        _, after = before_and_after(net, 'convolve attention', target='openvino')
        assert count(after, ConvolvedAttention) == 0
        assert_same(net, after, image())


class TestEager:
    @pytest.mark.parametrize('cls', [LiteHRNet, XHRNet])
    def test_one_operator_for_convolution_sum_and_activation(self, cls):
        net = tiny(cls, 'naive').float()
        picture = image(dtype=torch.float32)
        before, after = before_and_after(net, 'fuse for eager', target='eager')
        with torch.no_grad():
            found, expected = after(picture), before(picture)
        assert relative_difference(found, expected) < 1e-5
        if torch.backends.mkldnn.is_available():
            names = calls(after, picture)
            # What is left is the sum of the highest resolution, once per module.
            assert names.count('relu') + names.count('relu_') == 2

    @pytest.mark.parametrize('other', [False, True])
    @pytest.mark.parametrize('activation', [None, 'relu', 'sigmoid'])
    def test_with_and_without_post_operations(self, activation, other):
        conv = FusedConv(nn.Conv2d(3, 5, 3, stride=2, padding=1), activation)
        picture = image(dtype=torch.float32)
        added = torch.randn(2, 5, 32, 48) if other else None
        kept = None if added is None else added.clone()
        with torch.no_grad():
            fast = conv(picture, added)
            exact = conv.double()(
                picture.double(), None if added is None else added.double()
            )
        torch.testing.assert_close(fast, exact.float())
        assert added is None or torch.equal(added, kept)

    def test_convolutions_it_cannot_compute_stay(self):
        net = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode='reflect'))
        assert type(fuse_for_eager(net)[0]) is nn.Conv2d
