"""The counter of operators and bytes against counts by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmpose_lite.analysis import Traffic, count_traffic

X = torch.zeros(1, 4, 6, 8)
SIZE = 4 * 6 * 8 * 4  # bytes


def total(run):
    return sum(count_traffic(run).values(), Traffic())


def test_convolution_by_hand():
    conv = nn.Conv2d(4, 8, 1)
    weights = (8 * 4 + 8) * 4
    expected = {'convolution': Traffic(1, SIZE + weights + 2 * SIZE)}
    assert count_traffic(lambda: conv(X)) == expected


@pytest.mark.parametrize(
    'run',
    [
        lambda: X[:, 1:3],
        lambda: X.chunk(2, 1),
        lambda: X.view(4, -1).t().unsqueeze(0),
        lambda: X.expand(3, -1, -1, -1),
        lambda: torch.empty(5),
        lambda: X.detach(),
    ],
)
def test_views_and_allocations_are_free(run):
    assert total(run) == Traffic()


@pytest.mark.parametrize(
    ('run', 'maps'),
    [
        (lambda: X + X, 3),
        (lambda: X.clone().add_(X), 2 + 3),
        (lambda: F.relu(X.clone(), inplace=True), 2 + 2),
        (lambda: torch.cat((X, X), 1), 4),
        (lambda: torch.mul(X, X, out=torch.empty_like(X)), 3),
        (lambda: F.interpolate(X, scale_factor=2.0), 5),
        (lambda: X[:, :2] * X[:, 2:], 1.5),
    ],
)
def test_inputs_and_outputs_count(run, maps):
    assert total(run).bytes == maps * SIZE


def test_expanded_tensor_counts_what_exists():
    gate = torch.zeros(1, 4, 1, 1).expand_as(X)
    assert total(lambda: X * gate).bytes == 2 * SIZE + 4 * 4


def test_kinds_are_ordered_and_add_up():
    net = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Sigmoid(), nn.MaxPool2d(2))
    kinds = count_traffic(lambda: net(X))
    assert list(kinds) == sorted(kinds, key=lambda kind: -kinds[kind].bytes)
    assert kinds['activation'].operators == 2
    assert sum(kinds.values(), Traffic()).operators == 4
    assert Traffic(1, 2_500_000).megabytes == 2.5
