"""What ONNX Runtime makes of a network in blocks of channels."""

from collections import Counter

import onnx
import onnxruntime
import pytest
import torch
from passes_cases import build, image

from mmpose_lite.deploy import optimize, to_onnx
from mmpose_lite.models.backbones import LiteHRNet


def operators(target, folder):
    """How often each operator is in the graph that the engine runs."""
    net = optimize(build(LiteHRNet, '18'), target, image_size=(128, 96))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / f'{target}.onnx')
    options.log_severity_level = 3
    data = to_onnx(net, image((128, 96), 1, torch.float32))
    onnxruntime.InferenceSession(data, options, providers=['CPUExecutionProvider'])
    graph = onnx.load(options.optimized_model_filepath).graph
    return Counter(node.op_type for node in graph.node)


@pytest.mark.slow
def test_maps_stay_in_blocks(tmp_path):
    before = operators('graph', tmp_path)
    if not before['ReorderInput']:
        pytest.skip('ONNX Runtime knows no blocks of channels on this processor')
    after = operators('onnxruntime', tmp_path)
    assert before['ReorderInput'] + before['ReorderOutput'] > 100
    assert after['ReorderInput'] == 0
    assert after['ReorderOutput'] == 1  # of the heatmaps
