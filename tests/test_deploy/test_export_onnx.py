"""Networks as ONNX graphs: any batch, the same outputs, no operator too many.

And what ONNX Runtime makes of a network in blocks of channels.
"""

from collections import Counter

import onnx
import onnxruntime
import pytest
import torch
from passes_cases import build, image, outputs
from rows import TINY_IDS, TINY_ROWS
from torch import nn

from mmpose_lite.deploy import optimize, relative_difference, to_onnx
from mmpose_lite.models.backbones import LiteHRNet

ZEROS = torch.zeros(1, 3, 4, 4)


def picture(batch=1, size=(64, 96)):
    return image(size, batch, torch.float32)


def open_session(data, options=None):
    providers = ['CPUExecutionProvider']
    return onnxruntime.InferenceSession(data, options, providers=providers)


def run(data, images):
    return open_session(data).run(None, {'images': images.numpy()})[0]


def assert_same(data, network, images):
    found = [torch.from_numpy(run(data, images))]
    assert relative_difference(found, outputs(network, images)[:1]) < 1e-4


@pytest.mark.parametrize(
    ('target', 'layout'),
    [('graph', 'runs'), ('graph', 'full'), ('onnxruntime', None), ('openvino', None)],
)
@pytest.mark.parametrize(('cls', 'arch'), TINY_ROWS, ids=TINY_IDS)
def test_optimized(cls, arch, target, layout):
    """Batches of any size, and of one size without operators that move maps."""
    network = build(cls, arch)
    optimized = optimize(network, target, layout, image_size=(64, 96))
    data = to_onnx(optimized, picture(), batch='dynamic')
    for count in (1, 3):
        assert_same(data, network, picture(count))
    graph = onnx.load_from_string(to_onnx(optimized, picture())).graph
    kinds = {node.op_type for node in graph.node}
    # Moved rows of a few gates are all that may be transposed.
    allowed = {'Transpose'} if arch['unit'] in ('sequential', 'parallel') else set()
    assert not kinds & ({'Transpose', 'Reshape', 'ScatterND', 'Shape'} - allowed)


@pytest.mark.parametrize(('cls', 'arch'), TINY_ROWS, ids=TINY_IDS)
def test_batch_of_one_size_as_trained(cls, arch):
    network = build(cls, arch)
    data = to_onnx(network, picture(2), batch=2)
    assert_same(data, network, picture(2))
    with pytest.raises(Exception, match='Got: 3 Expected: 2'):
        run(data, picture(3))


def test_names():
    session = open_session(to_onnx(nn.ReLU(), ZEROS, names=('x', 'y')))
    assert [session.get_inputs()[0].name, session.get_outputs()[0].name] == ['x', 'y']


@pytest.mark.parametrize('batch', [0, 'any', 1.5])
def test_batch_is_refused(batch):
    with pytest.raises(ValueError, match=f'batch must be .* got {batch!r}'):
        to_onnx(nn.ReLU(), ZEROS, batch=batch)


def test_what_onnx_cannot_say_is_named(capsys):
    class Pooling(nn.Module):
        def forward(self, x):
            return nn.functional.adaptive_avg_pool2d(x.relu(), (x + 0).shape[-2:])

    with pytest.raises(ValueError, match=r"='dynamic': .*adaptive pooling"):
        to_onnx(Pooling(), ZEROS, batch='dynamic')
    assert capsys.readouterr().out == ''


def test_network_keeps_its_modes():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.ReLU()).eval())
    to_onnx(network, ZEROS)
    modes = [module.training for module in network.modules()]
    assert modes == [True, True, False, False]
    assert network[0].num_batches_tracked == 0


def operators(target, folder):
    """How often each operator is in the graph that the engine runs."""
    net = optimize(build(LiteHRNet, '18'), target, image_size=(128, 96))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / f'{target}.onnx')
    options.log_severity_level = 3
    open_session(to_onnx(net, picture(1, (128, 96))), options)
    graph = onnx.load(options.optimized_model_filepath).graph
    return Counter(node.op_type for node in graph.node)


@pytest.mark.slow
def test_maps_stay_in_blocks(tmp_path):
    before = operators('graph', tmp_path)
    if not before['ReorderInput']:
        pytest.skip('ONNX Runtime has no blocks of channels on this processor')
    after = operators('onnxruntime', tmp_path)
    assert before['ReorderInput'] + before['ReorderOutput'] > 100
    assert after['ReorderInput'] == 0
    assert after['ReorderOutput'] == 1  # of the heatmaps
