"""Compiled networks do what PyTorch does, kernel by kernel and as a whole."""

import shutil

import numpy as np
import pytest
import torch
from passes_cases import build, image, outputs
from rows import TINY_IDS, TINY_ROWS
from torch import nn
from torch.nn import functional as F

from mmpose_lite.deploy import NativeNetwork, compile_network, relative_difference
from mmpose_lite.deploy.native.compiler import lanes_of
from mmpose_lite.deploy.native.emit import blocks, permutation
from mmpose_lite.deploy.native.graph import Graph, Node, Term, Value, combined
from mmpose_lite.deploy.native.memory import MemoryPlan
from mmpose_lite.deploy.passes.shuffle_removal import Reorder
from mmpose_lite.models.backbones import LiteHRNet

TOLERANCE = 1e-5
"""Largest difference over the largest value of the reference."""

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ('c++', 'g++', 'clang++'))), reason='no C++ compiler'
)


def compiled(net, size, folder, batch=1, **options):
    out = folder / 'network.so'
    compile_network(net, size, out, batch, **options)
    assert [path.name for path in folder.iterdir()] == [out.name]
    return NativeNetwork(out)


def assert_same(net, size, folder, batch=1, **options):
    net = net.eval()
    picture = image(size, batch, torch.float32)
    run = compiled(net, size, folder, batch, **options)
    wanted = [out.numpy() for out in outputs(net, picture)[:1]]
    # Twice, since the second call finds what the first has left in the arena.
    for _ in range(2):
        assert relative_difference([run(picture.numpy())], wanted) <= TOLERANCE


class Net(nn.Module):
    """A network from a function of maps and, by number, of layers."""

    def __init__(self, function, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, x):
        return self.function(x, *self.layers)


def network(first, *layers):
    """Layers in turn, or a function of maps and layers; with weights."""
    in_turn = isinstance(first, nn.Module)
    net = (nn.Sequential if in_turn else Net)(first, *layers)
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    return net


def conv(inputs, outputs, kernel=1, stride=1, groups=1, padding=None):
    padding = kernel // 2 if padding is None else padding
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups)


def depthwise(width, kernel=3, stride=1):
    return conv(width, width, kernel, stride, width)


def stem(width):
    return conv(3, width, 3)


def squeezed(x, first, filters, squeeze, excite):
    x = filters(first(x))
    gate = squeeze(x.mean((2, 3))).relu_()
    return x * excite(gate).sigmoid()[:, :, None, None]


def gated(x, first, reduce, expand, filters):
    x = first(x)
    gate = expand(reduce(F.avg_pool2d(x, 2)).relu()).sigmoid()
    return filters(x * F.interpolate(gate, scale_factor=2.0, mode='nearest'))


def exchanged(x, first, down, lift, own, reorder):
    high = first(x)
    low = down(high)
    lifted = F.interpolate(lift(low), scale_factor=2.0, mode='nearest')
    top = torch.add(lifted, reorder(high), alpha=2)
    return (own(top) + top + high).relu() + own(high)


def blended(corners):
    def run(x, first, down, mix):
        high = first(x)
        low = mix(down(high))
        size = high.shape[2:]
        low = F.interpolate(low, size, mode='bilinear', align_corners=corners)
        return low + high

    return run


def split_stem(x, first, one, other, last):
    a, b = first(x).relu().split((9, 11), 1)
    return last(torch.cat((one(a).relu(), other(b), a), 1))


def on_slots(x, first, filters, last):
    x = first(x).relu()
    changed = filters(x[:, 5:16])
    x = torch.cat((x[:, :5], changed, x[:, 16:]), 1)
    changed = filters(x[:, 2:13])
    x = torch.cat((x[:, :2], changed * changed.mean((2, 3), True), x[:, 13:]), 1)
    return last(x)


def on_slots_read_later(x, first, filters, last):
    """What a block overwrites is read again after it."""
    before = first(x).relu()
    x = torch.cat((before[:, :5], filters(before[:, 5:16]), before[:, 16:]), 1)
    return last(x) + last(before)


def joined_twice(x, first, filters, last):
    x = first(x)
    y = filters(x[:, :11])
    return last(torch.cat((y, y), 1)) + last(torch.cat((x[:, 1:12], y), 1))


ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.SiLU, nn.Hardswish, nn.Hardsigmoid)
BLENDED = (stem(9), depthwise(9, 3, 2), conv(9, 9))
SLOTS = (stem(20), depthwise(11))
KERNELS = {
    'dense stride 2': ((19, 23), conv(3, 17, 3, 2), nn.ReLU()),
    'dense of a map': ((17, 14), stem(7), conv(7, 12, 3, 2), conv(12, 5, 5)),
    'pointwise stride 2': ((9, 11), stem(6), conv(6, 33, 1, 2)),
    'pointwise wide': ((7, 5), stem(21), conv(21, 150), conv(150, 67)),
    'depthwise 3': ((13, 24), stem(20), depthwise(20)),
    'depthwise 5': ((9, 7), stem(7), depthwise(7, 5), nn.ReLU()),
    'depthwise 7': ((12, 10), stem(40), depthwise(40, 7)),
    'depthwise narrow': ((5, 3), stem(2), depthwise(2)),
    'depthwise stride 2': ((15, 18), stem(21), depthwise(21, 3, 2)),
    'depthwise whole vectors': ((6, 9), stem(32), depthwise(32)),
    'squeeze and excite': (
        *((14, 10), squeezed, stem(11), depthwise(11)),
        *(nn.Linear(11, 3), nn.Linear(3, 11)),
    ),
    'gates': ((12, 14), gated, stem(20), conv(20, 3), conv(3, 20), depthwise(20)),
    'exchange': (
        *((12, 10), exchanged, stem(42), depthwise(42, 3, 2), conv(42, 42)),
        *(conv(42, 42), Reorder(torch.arange(42) * 5 % 42, 42)),
    ),
    'bilinear, corners': ((10, 14), blended(True), *BLENDED),
    'bilinear, edges': ((10, 14), blended(False), *BLENDED),
    'joined': ((9, 10), split_stem, stem(20), conv(9, 6), conv(11, 13, 3), conv(28, 8)),
    'slots in place': ((8, 10), on_slots, *SLOTS, conv(20, 9)),
    'slots read later': ((8, 10), on_slots_read_later, *SLOTS, conv(20, 9)),
    'joined twice': ((8, 10), joined_twice, *SLOTS, conv(22, 9)),
}
"""Size of images, perhaps a function, and layers."""


@needs_compiler
@pytest.mark.parametrize('name', KERNELS)
def test_kernels(name, tmp_path):
    size, *parts = KERNELS[name]
    assert_same(network(*parts), size, tmp_path, batch=2)


@needs_compiler
def test_activations(tmp_path):
    steps = (c for kind in ACTIVATIONS for c in (kind(), conv(19, 19)))
    assert_same(network(stem(19), conv(19, 19), *steps), (6, 7), tmp_path)


@needs_compiler
@pytest.mark.parametrize(('cls', 'arch'), TINY_ROWS, ids=TINY_IDS)
def test_networks(cls, arch, tmp_path):
    assert_same(build(cls, arch), (64, 96), tmp_path, batch=2)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize('march', ['x86-64', 'x86-64-v3'])
def test_narrower_vectors(march, tmp_path):
    try:
        lanes_of(march)
    except RuntimeError:
        pytest.skip(f'the compiler does not know {march}')
    assert_same(build(*TINY_ROWS[0]), (64, 96), tmp_path, march=march)


@needs_compiler
@pytest.mark.slow
def test_lite_hrnet(tmp_path):
    assert_same(build(LiteHRNet, '18'), (256, 192), tmp_path)


@needs_compiler
def test_another_library_at_the_same_path(tmp_path):
    """A loader that remembers paths would give the first network again."""
    picture = image((8, 8), 1, torch.float32)
    for seed in range(2):
        net = nn.Sequential(stem(4))
        torch.manual_seed(seed)
        net[0].reset_parameters()
        found = compiled(net, (8, 8), tmp_path)(picture.numpy())
        with torch.no_grad():
            np.testing.assert_allclose(found, net(picture), rtol=0, atol=1e-5)


@needs_compiler
def test_wrong_images_and_files_are_refused(tmp_path):
    net = compiled(network(stem(4)), (8, 8), tmp_path)
    with pytest.raises(ValueError, match=r'\(1, 3, 8, 8\), got float64'):
        net(np.zeros((1, 3, 8, 8)))
    with pytest.raises(FileNotFoundError, match='absent'):
        NativeNetwork(tmp_path / 'absent.so')
    text = tmp_path / 'text.so'
    text.write_text('no library')
    with pytest.raises(ValueError, match='must be a compiled network'):
        NativeNetwork(text)


@needs_compiler
@pytest.mark.parametrize(
    ('layer', 'match'),
    [(nn.Softmax(1), 'softmax'), (nn.Conv2d(4, 4, 1, groups=2), '2 groups')],
)
def test_unknown_operator_is_named(layer, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        compile_network(network(stem(4), layer), (8, 8), tmp_path / 'network.so')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('lanes', [4, 8, 16])
@pytest.mark.parametrize('width', [1, 7, 16, 40, 75, 160, 320])
def test_blocks_cover_every_channel_once(width, lanes):
    found = [
        block.channel + i
        for block in blocks(width, lanes)
        for i in range(block.lanes * block.vectors)
    ]
    assert found == list(range(width))


def test_permutation_that_is_too_scattered_is_copied_by_channels():
    index = tuple(i * 37 % 320 for i in range(320))
    assert 'y[1] = x[37];' in permutation('order', index, 16)
    assert '__builtin_shufflevector' in permutation('order', index, 4)


def test_maps_that_live_at_once_share_no_memory():
    picture = Value((1, 4, 4, 8))
    first = Value(picture.shape)
    first.node = Node('import', [picture], first)

    def total(*values):
        return combined([Term(value) for value in values], first.shape, '')

    a, b = total(first), total(first)
    c = total(a.output, b.output)
    d = total(c.output, first)
    end = Node('export', [d.output], Value(d.output.shape))
    plan = MemoryPlan(Graph(picture, [first.node, a, b, c, d, end]))
    starts = [value.start for value in (first, a.output, b.output, c.output)]
    assert len(set(starts)) == 4
    # The last map takes the place of one that is dead by then.
    assert d.output.start in starts[1:3]
    assert plan.size == 4 * 128
