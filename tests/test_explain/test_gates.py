"""Gates that are computed again, against what their modules made of them."""

import numpy as np
import pytest
import torch
from explain_models import HEIGHT, WIDTH, heatmap_model
from torch import nn

from mmpose_lite.explain import gates, recorded
from mmpose_lite.models.layers import (
    SUSA,
    ConditionalChannelWeighting,
    PolarizedSelfAttention,
)


def calls_of(model, parts):
    with recorded(parts) as calls, torch.no_grad():
        model.backbone(torch.randn(1, 3, HEIGHT, WIDTH))
    return calls


@pytest.mark.parametrize('name', ['X-HRNet sequential', 'X-HRNet parallel'])
def test_gates_times_input_are_what_susa_gave(name):
    model = heatmap_model(name)
    calls = calls_of(model, gates.susa_parts(model))
    found = gates.modules_of(model, SUSA)
    assert len(found) > 10
    for susa in found.values():
        gate, others = gates.susa_gate(calls, susa), (1, 5 - susa.dim)
        assert gate.shape[5 - susa.dim] == 1
        x, expected = calls[susa].input, calls[susa].output
        assert torch.allclose(x * gate, expected, atol=1e-6)
        share = expected.abs().sum(others) / x.abs().sum(others)
        assert np.allclose(gates.susa_profile(calls, susa), share[0], atol=1e-4)


@pytest.mark.parametrize('name', ['PSA parallel', 'PSA sequential', 'PSA paper'])
def test_gates_times_input_are_what_psa_gave(name):
    model = heatmap_model(name)
    parts = gates.psa_parts(model)
    calls = calls_of(model, parts)
    assert len(parts) == 9
    for psa in parts:
        assert isinstance(psa, PolarizedSelfAttention)
        x = calls[psa].input
        by_channel, by_place = gates.psa_gates(psa, x)
        found = x * by_channel * by_place
        if name == 'PSA parallel':
            found = x * by_channel + x * by_place
        assert torch.allclose(found, calls[psa].output, atol=1e-5)


def test_weights_are_those_of_conditional_channel_weighting():
    model = heatmap_model('Lite-HRNet')
    ccw = [*gates.modules_of(model, ConditionalChannelWeighting).values()][-1]
    watched = [ccw, *ccw.depthwise_convs, *ccw.spatial_weighting]
    calls = calls_of(model, [*gates.ccw_parts(model), *watched])
    for i, (cross, spatial) in enumerate(gates.ccw_weights(calls, ccw)):
        changed = calls[ccw].input[i].chunk(2, dim=1)[1]
        stretched = nn.functional.interpolate(cross, changed.shape[-2:])
        between = calls[ccw.depthwise_convs[i]].input
        assert torch.allclose(changed * stretched, between, atol=1e-6)
        last = calls[ccw.spatial_weighting[i]]
        assert torch.allclose(last.input * spatial, last.output, atol=1e-6)


@pytest.mark.parametrize(
    ('values', 'text'),
    [
        ([0.25, 0.5], '0.25 to 0.50'),
        ([0.501, 0.504], '0.501 to 0.504'),
        ([0.5, 0.5], '0.50000 to 0.50000'),
    ],
)
def test_ends_of_a_range_are_told_apart(values, text):
    assert gates._range(np.array(values)) == text
