"""The counter against hand counts and the published sizes."""

import pytest
import torch
from torch import nn

from mmpose_lite.analysis import Complexity, complexity, count_macs, count_macs_once


def test_hand_count():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    net.append(nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False))
    params = 3 * 8 * 9 + 8 + 16 + 8 * 9
    macs = 3 * 8 * 9 * 16 * 24 + 8 * 9 * 8 * 12
    assert complexity(net, (16, 24)) == Complexity(params, macs)


def test_mode_is_restored_and_statistics_untouched():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    complexity(net, (8, 8))
    assert net.training
    assert net[1].num_batches_tracked == 0


def test_matrix_products_count():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(5, 8))

        def forward(self, x):
            return self.weight @ x[0, 0]

    assert complexity(Product(), (8, 6)).macs == 5 * 8 * 6


@pytest.mark.parametrize('count', [count_macs, count_macs_once])
def test_attention_of_torch_counts(count):
    tokens, width, hidden = 32, 64, 128
    layer = nn.TransformerEncoderLayer(width, 4, hidden, batch_first=True).eval()
    x = torch.rand(1, tokens, width)
    wanted = tokens * width * (4 * width + 2 * hidden) + 2 * tokens**2 * width
    words = [layer] if count is count_macs_once else []
    assert count(*words, lambda: layer(x)) == wanted
    assert torch.backends.mha.get_fastpath_enabled()


def test_bad_image_size():
    with pytest.raises(ValueError, match='image_size must be two positive numbers'):
        complexity(nn.Conv2d(3, 3, 1), (0, 8))


class Twice(nn.Module):
    """A convolution that runs twice, a product without weights, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.linear = nn.Linear(4, 5)

    def forward(self, x):
        x = self.conv(self.conv(x))
        return self.linear(x @ x.transpose(2, 3))


def test_macs_are_counted_as_executed_and_once():
    net, x = Twice().eval(), torch.randn(1, 3, 4, 6)
    conv, product, linear = 9 * 24, 3 * 4 * 4 * 6, 12 * 4 * 5
    assert count_macs(lambda: net(x)) == 2 * conv + product + linear
    assert count_macs_once(net, lambda: net(x)) == conv + product + linear
