"""Layers against naive loops, in double precision, at odd sizes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmpose_lite.models.layers import (
    SUSA,
    ConditionalChannelWeighting,
    ParallelSUSA,
    PerBranch,
    ShuffleUnit,
    conv_norm,
    depthwise_pointwise,
    halves,
    interleave,
)

BN = dict(type='BN')


def randomise(module):
    """Random parameters and sane batch-norm statistics, in double precision."""
    module.double()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            value = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
            tensor.copy_(value.abs() + 0.5 if name.endswith('running_var') else value)
    return module


def test_interleave_is_concatenation_and_shuffle():
    x = torch.randn(2, 10, 3, 5)
    a, b = halves(x)
    assert torch.equal(interleave(a, b), F.channel_shuffle(x, 2))
    assert torch.equal(interleave(a, b)[:, 3], x[:, 5 + 1])


def test_shuffle_unit_keeps_first_half_and_transforms_second():
    unit = ShuffleUnit([nn.Conv2d(3, 3, 1)])
    x = torch.randn(2, 6, 5, 7)
    out = unit(x)
    assert torch.equal(out[:, 0::2], x[:, :3])
    assert torch.equal(out[:, 1::2], unit.branch2(x[:, 3:]))


def test_per_branch_refuses_another_number_of_maps():
    branches = PerBranch([nn.Identity(), nn.Identity()])
    with pytest.raises(ValueError, match='zip'):
        branches([torch.zeros(1)])


def test_conv_norm_keys_and_bias():
    with_norm = conv_norm(4, 6, 3, norm_cfg=BN, stride=2)
    names = {'conv.weight', 'bn.weight', 'bn.bias'}
    assert set(dict(with_norm.named_parameters())) == names
    assert with_norm(torch.randn(2, 4, 7, 5)).shape == (2, 6, 4, 3)
    without = conv_norm(4, 6, 1, norm_cfg=None, act=None)
    assert set(dict(without.named_parameters())) == {'conv.weight', 'conv.bias'}
    x = torch.full((1, 4, 2, 2), -5.0)
    assert torch.equal(without(x), without.conv(x))
    assert (conv_norm(4, 4, 1, norm_cfg=None)(x) >= 0).all()


def test_depthwise_pointwise_has_no_activation_between():
    sequence = randomise(depthwise_pointwise(4, 6, stride=2, relu=False, norm_cfg=BN))
    sequence.eval()
    assert [type(m) for m in sequence] == [nn.Conv2d, nn.BatchNorm2d] * 2
    x = torch.randn(2, 4, 9, 7, dtype=torch.double)
    middle = sequence[1](F.conv2d(x, sequence[0].weight, None, 2, 1, 1, groups=4))
    assert (middle < 0).any()
    expected = sequence[3](F.conv2d(middle, sequence[2].weight))
    torch.testing.assert_close(sequence(x), expected)
    ended = depthwise_pointwise(4, 6, stride=1, relu=True, norm_cfg=BN)
    assert isinstance(ended[4], nn.ReLU)


def naive_susa(layer, x):
    """The formulas of the paper for one axis, one pixel at a time."""
    if layer.axis == 'w':
        x = x.transpose(2, 3)
    batch, channels, height, width = x.shape
    g = layer.group_weight.flatten()
    a = layer.mean_conv.conv.weight.flatten()
    d = layer.mean_conv.conv.bias
    weight, bias = layer.conv.conv.weight[:, :, 0, 0], layer.conv.conv.bias
    out = torch.empty_like(x)
    for n in range(batch):
        v = torch.zeros(channels, height, dtype=x.dtype)
        for c in range(channels):
            mean = [
                sum(x[n, c, h, w] * g[h] for h in range(height)) / height
                for w in range(width)
            ]
            q = torch.stack([a[c] * m + d[c] for m in mean]).exp()
            q = q / q.sum()
            for h in range(height):
                v[c, h] = sum(x[n, c, h, w] * q[w] for w in range(width))
        for h in range(height):
            u = weight @ v[:, h] + bias
            normed = (u - u.mean()) / (u.var(unbiased=False) + 1e-5).sqrt()
            gate = 1 / (1 + (-(normed * layer.ln.weight + layer.ln.bias)).exp())
            for w in range(width):
                out[n, :, h, w] = x[n, :, h, w] * gate
    return out.transpose(2, 3) if layer.axis == 'w' else out


@pytest.mark.parametrize('axis', ['h', 'w'])
def test_susa_equals_naive_loop(axis):
    layer = randomise(SUSA(4, axis, max_size=9))
    x = torch.randn(2, 4, 5, 7, dtype=torch.double)
    torch.testing.assert_close(layer(x), naive_susa(layer, x))


@pytest.mark.parametrize('axis', ['h', 'w'])
def test_susa_gradient_of_position_weights(axis):
    layer = randomise(SUSA(3, axis, max_size=6))
    layer(torch.randn(1, 3, 4, 5, dtype=torch.double)).sum().backward()
    used = 4 if axis == 'h' else 5
    gradient = layer.group_weight.grad.flatten()
    assert (gradient[:used] != 0).all()
    assert (gradient[used:] == 0).all()


def test_susa_names_both_sizes_when_too_long():
    with pytest.raises(ValueError, match=r'8 px.*max_size=7'):
        SUSA(4, 'h', max_size=7)(torch.zeros(1, 4, 8, 3))
    with pytest.raises(ValueError, match=r"axis must be one of .*, got 'x'"):
        SUSA(4, 'x', max_size=7)


def test_susa_fits_position_weights_by_cropping_and_padding_with_ones():
    layer = SUSA(4, 'w', max_size=5)
    longer = torch.arange(7.0).view(1, 1, 1, 7)
    assert layer.fit_position_weight(longer).flatten().tolist() == [0, 1, 2, 3, 4]
    shorter = torch.arange(3.0).view(1, 1, 1, 3)
    assert layer.fit_position_weight(shorter).flatten().tolist() == [0, 1, 2, 1, 1]


def test_parallel_susa_treats_halves_apart():
    layer = randomise(ParallelSUSA(6, max_size=(8, 9)))
    x = torch.randn(1, 6, 5, 7, dtype=torch.double)
    out = layer(x)
    torch.testing.assert_close(out[:, 0::2], layer.hconv(x[:, :3]))
    torch.testing.assert_close(out[:, 1::2], layer.wconv(x[:, 3:]))
    with pytest.raises(ValueError, match='even, got 5'):
        ParallelSUSA(5, max_size=(8, 9))


def test_ccw_equals_formulas():
    layer = randomise(ConditionalChannelWeighting([8, 16], BN)).eval()
    x = [
        torch.randn(2, 8, 6, 10, dtype=torch.double),
        torch.randn(2, 16, 3, 5, dtype=torch.double),
    ]
    b = [feat[:, feat.size(1) // 2 :] for feat in x]
    cross = layer.cross_resolution_weighting
    z = torch.cat([F.avg_pool2d(b[0], 2), b[1]], 1)
    z = cross.conv1.bn(F.conv2d(z, cross.conv1.conv.weight)).relu()
    z = cross.conv2.bn(F.conv2d(z, cross.conv2.conv.weight)).sigmoid()
    gate = z[:, :4].repeat_interleave(2, 2).repeat_interleave(2, 3)
    b = [b[0] * gate, b[1] * z[:, 4:]]
    for i, out in enumerate(layer(x)):
        conv, spatial = layer.depthwise_convs[i], layer.spatial_weighting[i]
        y = conv.bn(F.conv2d(b[i], conv.conv.weight, None, 1, 1, 1, b[i].size(1)))
        s = y.mean((2, 3))[..., None, None]
        s = spatial.conv2.conv(spatial.conv1.conv(s).relu()).sigmoid()
        torch.testing.assert_close(out[:, 0::2], x[i][:, : x[i].size(1) // 2])
        torch.testing.assert_close(out[:, 1::2], y * s)
