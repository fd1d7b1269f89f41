"""Networks as ONNX graphs: any batch, the same outputs, clear refusals."""

import numpy as np
import onnxruntime
import pytest
import torch
from passes_cases import build, image
from rows import TINY_IDS, TINY_ROWS
from torch import nn

from mmpose_lite.deploy import optimize, to_onnx


def run(data, images):
    session = onnxruntime.InferenceSession(data, providers=['CPUExecutionProvider'])
    (given,) = session.get_inputs()
    return session.run(None, {given.name: images.numpy()})[0]


def assert_same(data, network, images):
    with torch.no_grad():
        expected = network(images)
    expected = expected if isinstance(expected, torch.Tensor) else expected[0]
    np.testing.assert_allclose(
        run(data, images), expected, rtol=0, atol=1e-4 * float(expected.abs().max())
    )


@pytest.mark.parametrize(('cls', 'arch'), TINY_ROWS, ids=TINY_IDS)
def test_batch_of_any_size(cls, arch):
    network = build(cls, arch)
    data = to_onnx(
        optimize(network, image_size=(64, 96)),
        image(batch=1, dtype=torch.float32),
        batch='dynamic',
    )
    for count in (1, 3):
        assert_same(data, network, image(batch=count, dtype=torch.float32))


@pytest.mark.parametrize(('cls', 'arch'), TINY_ROWS, ids=TINY_IDS)
def test_batch_of_one_size_as_trained(cls, arch):
    network = build(cls, arch)
    images = image(batch=2, dtype=torch.float32)
    data = to_onnx(network, images, batch=2)
    assert_same(data, network, images)
    with pytest.raises(Exception, match='Got: 3 Expected: 2'):
        run(data, image(batch=3, dtype=torch.float32))


def test_names():
    data = to_onnx(nn.ReLU(), torch.zeros(1, 3, 4, 4), names=('x', 'y'))
    session = onnxruntime.InferenceSession(data, providers=['CPUExecutionProvider'])
    assert [session.get_inputs()[0].name, session.get_outputs()[0].name] == ['x', 'y']


@pytest.mark.parametrize('batch', [0, 'any', 1.5])
def test_batch_is_refused(batch):
    with pytest.raises(ValueError, match=f'batch must be .* got {batch!r}'):
        to_onnx(nn.ReLU(), torch.zeros(1, 3, 4, 4), batch=batch)


def test_what_onnx_cannot_say_is_named(capsys):
    class Pooling(nn.Module):
        def forward(self, x):
            return nn.functional.adaptive_avg_pool2d(x.relu(), (x + 0).shape[-2:])

    images = torch.zeros(1, 3, 4, 4)
    with pytest.raises(ValueError, match=r"='dynamic': .*adaptive pooling"):
        to_onnx(Pooling(), images, batch='dynamic')
    assert capsys.readouterr().out == ''


def test_network_keeps_its_modes():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.ReLU()).eval())
    to_onnx(network, torch.zeros(1, 3, 4, 4))
    assert network.training
    assert network[0].training
    assert not network[1].training
    assert not network[1][0].training
    assert network[0].num_batches_tracked == 0
