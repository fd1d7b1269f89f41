"""Outputs against the original implementations, and against our own goldens.

The reference weights make single precision ill-conditioned in eval mode, so outputs
are compared in double precision, and in single precision in training mode.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import SHARED
from parity import (
    LAYOUT_ROWS,
    build_pose_net,
    check_golden,
    fill_from,
    own_fill,
    relative_error,
)
from rows import IDS, ROWS

from mmpose_lite.analysis import complexity

NAMES = sorted(
    path.stem
    for pattern in ('*litehrnet-*.json', '[sp]xhrnet-*.json')
    for path in (SHARED / 'reference' / 'layouts').glob(pattern)
)
WITH_OUTPUTS = [
    name for name in NAMES if (SHARED / f'reference/outputs/{name}.npz').is_file()
]
# Where the reference is absent one skipped case says so.
every_layout = pytest.mark.parametrize('name', NAMES or ['absent'])
every_output = pytest.mark.parametrize('name', WITH_OUTPUTS or ['absent'])


def load(shared, name):
    """Layout and the network it describes."""
    layout = json.loads((shared / f'reference/layouts/{name}.json').read_text())
    cls, arch = LAYOUT_ROWS[name.split('_coco')[0].split('_mpii')[0]]
    if name.endswith('as-config'):  # the published slip: depth 30 by name, 18 by list
        arch = arch.replace('30', '18')
    return layout, build_pose_net(cls, arch, 16 if 'mpii' in name else 17)


def filled(shared, fill, name):
    """Network with the reference weights, its image and the outputs it must give."""
    _, net = load(shared, name)
    fill_from(net, fill.fill)
    golden = np.load(shared / f'reference/outputs/{name}.npz')
    height, width = (4 * side for side in golden['heatmaps'].shape[-2:])
    image = fill.image(height, width, seed=int(golden['input_seed']))
    return net, torch.from_numpy(image), golden


@every_layout
def test_keys_shapes_order_and_size(shared, name):
    layout, net = load(shared, name)
    found = {key: list(value.shape) for key, value in net.state_dict().items()}
    assert found == layout['state_dict']
    assert list(found) == list(layout['state_dict'])
    assert sum(p.numel() for p in net.parameters()) == layout['params']


@every_layout
def test_macs_are_those_of_each_module_once(shared, name):
    """What published figures count; in eval nothing runs twice."""
    layout, net = load(shared, name)
    expected = layout['gmacs_each_module_once'] + layout['gmacs_extra_matmul']
    assert complexity(net, tuple(layout['input_size'])).macs == round(expected * 1e9)


@every_output
def test_double_precision_eval(shared, reference_fill, name):
    net, image, golden = filled(shared, reference_fill, name)
    with torch.no_grad():
        heatmaps = net.double().eval()(image.double()).numpy()
    assert relative_error(heatmaps, golden['heatmaps_f64']) < 1e-5


@every_output
def test_training_mode_forward(shared, reference_fill, name):
    net, image, golden = filled(shared, reference_fill, name)
    with torch.no_grad():
        heatmaps = net.train()(image).numpy()
    assert np.abs(heatmaps - golden['heatmaps_train']).max() < 5e-4


@every_layout
def test_batch_norm_statistics_after_one_step(shared, reference_fill, name):
    layout, net = load(shared, name)
    fill_from(net, reference_fill.fill)
    image = torch.from_numpy(reference_fill.image(*layout['input_size'])).double()
    with torch.no_grad():
        net.double().train()(image)
    state = net.state_dict()
    expected = layout['fuse_bn_sums_after_one_train_pass_f64']
    assert len(expected) >= 9
    for key, value in expected.items():
        assert float(state[key].double().sum()) == pytest.approx(value, rel=1e-9), key


@pytest.mark.parametrize(('cls', 'arch'), ROWS, ids=IDS)
def test_own_golden(request, cls, arch):
    """Every third channel of the output and two statistics, for a stranger's clone."""
    net = build_pose_net(cls, arch, 17)
    fill_from(net, own_fill)
    image = torch.from_numpy(np.random.RandomState(3).uniform(-2, 2, (1, 3, 64, 96)))
    net.double().eval()
    with torch.no_grad():
        found = {'eval': net(image).numpy()[:, ::3]}
        found['train'] = net.train()(image.repeat(2, 1, 1, 1)).numpy()[:1, ::3]
    norm = net.backbone.stage1[0].fuse_layers[1][0][0][1]
    found['running_mean'] = norm.running_mean.numpy()
    assert norm.num_batches_tracked == 2
    check_golden(request, f'{cls.__name__.lower()}_{arch}', found)
