"""All passes together: exact on every row, cheaper, and the input untouched."""

import copy

import pytest
import torch
from mmcv.cnn import fuse_conv_bn
from mmpose.models.backbones import LiteHRNet as Published
from passes_cases import TOLERANCE, TOLERANCE_F32, build, image
from rows import IDS, ROWS, TINY_IDS, TINY_ROWS
from torch import nn

from mmpose_lite.analysis import Traffic, count_traffic
from mmpose_lite.deploy import gains, list_passes, optimize
from mmpose_lite.deploy.passes import TARGETS
from mmpose_lite.models.backbones import LiteHRNet

# Targets with layouts, None being their own.
FORMS = [
    ('eager', None),
    ('eager', 'full'),
    ('eager', 'blocks'),
    ('onnxruntime', None),
    ('openvino', None),
]


def assert_exact(rows):
    assert [row.name for row in rows if row.difference > TOLERANCE] == []
    assert [row.name for row in rows if row.difference_f32 > TOLERANCE_F32] == []


@pytest.mark.parametrize(('target', 'layout'), FORMS)
@pytest.mark.parametrize(('cls', 'arch'), TINY_ROWS, ids=TINY_IDS)
def test_every_pass_is_exact(cls, arch, target, layout):
    options = dict(target=target, layout=layout, image_size=(64, 96))
    rows = gains(build(cls, arch), image(dtype=torch.float32), **options)
    assert_exact(rows)
    assert [row.name for row in rows[1:]] == list(list_passes(target))


@pytest.mark.slow
@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize(('cls', 'arch'), ROWS, ids=IDS)
def test_every_variant_is_exact_and_cheaper(cls, arch, target):
    picture = image((128, 96), 1, torch.float32)
    rows = gains(build(cls, arch), picture, target=target, image_size=(128, 96))
    assert_exact(rows)
    folded, last = rows[1].traffic, rows[-1].traffic
    # For a single engine, what counts is which operators there are.
    if target in ('graph', 'eager'):
        assert last.operators < folded.operators
    if target == 'eager':
        assert last.bytes < folded.bytes


@pytest.mark.slow
def test_goal_of_operators_and_bytes():
    stages = dict(
        num_modules=(2, 4, 2),
        num_branches=(2, 3, 4),
        num_blocks=(2, 2, 2),
        module_type=('LITE',) * 3,
        with_fuse=(True,) * 3,
        reduce_ratios=(8,) * 3,
        num_channels=LiteHRNet('18').arch.channels,
    )
    stem = dict(stem_channels=32, out_channels=32, expand_ratio=1)
    extra = dict(stem=stem, num_stages=3, stages_spec=stages, with_head=True)
    theirs = Published(extra)
    theirs.eval()
    ours = optimize(LiteHRNet('18'), target='eager')
    picture = image((256, 192), 1, torch.float32)
    before, after = (
        sum(count_traffic(lambda net=net: net(picture)).values(), Traffic())
        for net in (fuse_conv_bn(theirs), ours)
    )
    assert before.operators / after.operators >= 1.5
    assert before.bytes / after.bytes >= 1.6


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize(('cls', 'arch'), TINY_ROWS, ids=TINY_IDS)
def test_input_is_untouched(cls, arch, target):
    net = build(cls, arch).train()
    next(net.parameters()).requires_grad_(False)
    wanted = [p.requires_grad for p in net.parameters()]
    state = copy.deepcopy(net.state_dict())
    kinds = [type(module) for module in net.modules()]
    optimized = optimize(net, target)
    assert net.training
    assert not any(module.training for module in optimized.modules())
    assert [p.requires_grad for p in net.parameters()] == wanted
    assert not any(p.requires_grad for p in optimized.parameters())
    assert [type(module) for module in net.modules()] == kinds
    picture = image(dtype=torch.float32)
    given = picture.clone()
    first = optimized(picture)[0].clone()
    torch.testing.assert_close(optimized(picture)[0], first, rtol=0, atol=0)
    torch.testing.assert_close(picture, given, rtol=0, atol=0)
    torch.testing.assert_close(net.state_dict(), state, rtol=0, atol=0)


def test_another_image_size_unless_it_was_fixed():
    cls, arch = next(row for row in TINY_ROWS if row[1]['unit'] == 'sequential')
    net = build(cls, arch).double()
    other = image((96, 64))
    with torch.no_grad():
        expected = net(other)[0]
        torch.testing.assert_close(optimize(net)(other)[0], expected)
        fixed = optimize(net, image_size=(96, 64))
        torch.testing.assert_close(fixed(other)[0], expected)
        with pytest.raises(RuntimeError):
            fixed(image((64, 96)))


def test_foreign_network_has_its_norms_folded():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU()).eval()
    net[1].running_mean.normal_()
    optimized = optimize(net)
    assert [type(step) for step in optimized] == [nn.Conv2d, nn.GELU]
    picture = image(dtype=torch.float32)
    torch.testing.assert_close(optimized(picture), net(picture))


@pytest.mark.parametrize(
    ('option', 'value'), [('target', 'engine'), ('layout', 'halves')]
)
def test_unknown_option(option, value):
    cls, arch = TINY_ROWS[0]
    with pytest.raises(ValueError, match=f"{option} must be one of .* got '{value}'"):
        optimize(cls(arch), **{option: value})
