#!/usr/bin/env bash
# torch's FlopCounterMode finds no work at all in nn.TransformerEncoderLayer in eval mode
# without gradients, which is how networks are usually measured.
#
# Expected: the same count whether the layer trains or not: eight products for one layer
# (query, key and value; scores; values; projection; two of the feed-forward network).
# Happens: in eval mode without gradients the layer takes its fast path, one operator for
# which the counter has no formula: 0. In eval mode with gradients the products of scores
# and values are missing, in training everything is counted.
# Versions: torch 2.13.0 (CPU), numpy 2.2.6; Python 3.11 and 3.12.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy==2.2.6
"$folder/env/bin/python" - <<'PYTHON'
import torch
from torch.utils.flop_counter import FlopCounterMode

TOKENS, WIDTH, HIDDEN = 32, 64, 128
layer = torch.nn.TransformerEncoderLayer(WIDTH, 4, HIDDEN, batch_first=True)
tokens = torch.rand(1, TOKENS, WIDTH)
products = 2 * TOKENS * WIDTH * (3 * WIDTH + WIDTH + 2 * HIDDEN)
scores = 2 * 2 * TOKENS * TOKENS * WIDTH


def count(training, gradients):
    layer.train(training)
    with torch.set_grad_enabled(gradients), FlopCounterMode(display=False) as counter:
        layer(tokens)
    return counter.get_total_flops()


found = {
    'by hand': products + scores,
    'training': count(True, True),
    'eval, with gradients': count(False, True),
    'eval, without gradients': count(False, False),
}
for name, flops in found.items():
    print(f'{name:24} {flops:,}')
assert [*found.values()] == [products + scores, products + scores, products, 0]
PYTHON
