"""TokenPose against the original implementation: names, sizes, cost and heatmaps.

Weights under the original names go through the project's converter into the model that
a shipped config builds, as a user's checkpoint would.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import ROOT, SHARED
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from parity import original_weights

from mmpose_lite.analysis import complexity
from mmpose_lite.checkpoints import convert

LIMB = dict(
    graph_depth=8,
    joint_mask='limb',
    metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
)
# Reference file → our config, and what of its head differs.
CASES = {
    'T-256x192': ('t_*coco-256x192', {}),
    'T-learnable-256x192': ('t_*coco-256x192', dict(position='learnable')),
    'T-sine-256x192': ('t_*coco-256x192', dict(position='sine')),
    'S-v1-256x192': ('s-v1_*coco-256x192', {}),
    'S-v2-256x192': ('s-v2_*coco-256x192', {}),
    'B-256x192': ('b_*coco-256x192', {}),
    'L-D6-256x192': ('l-d6_*coco-256x192', {}),
    'L-D6-single-256x192': ('l-d6_*coco-256x192', dict(depths=(6,))),
    'L-D24-256x192': ('l-d24_*coco-256x192', {}),
    'L-D24-384x288': ('l-d24_*coco-384x288', {}),
    'S-v1-mpii-256x256': ('s-v1_*mpii-256x256', {}),
    'L-D6-mpii-256x256': ('l-d6_*mpii-256x256', {}),
    'sparse-ref-coco-256x192': ('s-v1_*coco-256x192', LIMB),
}
OUTPUTS = [
    (name, key)
    for name in CASES
    if 'sparse' not in name
    and (SHARED / f'reference/outputs/tokenpose-{name}.npz').is_file()
    for key in ('heatmaps', 'heatmaps_scaled')
]
SPARSE = {
    'dense': dict(joint_mask=None),
    'joint': {},
    'mask': dict(sparse_cfg=dict(mode='mask')),
    'mask_progressive': dict(sparse_cfg=dict(mode='mask', reselect='masked')),
    'token': dict(sparse_cfg=dict(mode='token')),
}


def load(shared, name):
    return json.loads((shared / f'reference/layouts/tokenpose-{name}.json').read_text())


def build(name, **head):
    """The model of a shipped config, with the head changed as the case says."""
    pattern, overrides = CASES[name]
    (path,) = (ROOT / 'configs/tokenpose').glob(f'td-hm_tokenpose-{pattern}.py')
    cfg = Config.fromfile(path).model
    cfg.backbone.pop('init_cfg', None)
    cfg.head.update({**overrides, **head})
    init_default_scope('mmpose')
    return MODELS.build(cfg).eval()


def weights_of(layout, fill, scaled):
    """Deterministic weights under the original names, without computed tables."""
    kept = {k: v for k, v in layout['state_dict'].items() if k not in layout['keep']}
    return original_weights(kept, fill, layout['scale'] if scaled else ())


def heatmaps(model, fill, layout):
    image = torch.from_numpy(fill.image(*layout['input_size']))
    with torch.no_grad():
        return model(image, None).numpy()


@pytest.mark.parametrize('name', CASES)
def test_size_cost_and_strict_loading(shared, reference_fill, name):
    layout, model = load(shared, name), build(name)
    assert sum(p.numel() for p in model.parameters()) == layout['params']
    if 'gmacs' in layout:
        found = complexity(model, tuple(layout['input_size'])).macs
        assert round(found / 1e9, 4) == layout['gmacs']
    weights = weights_of(layout, reference_fill, scaled=False)
    converted = convert(weights, model)
    assert len(converted) == len(weights) == len(model.state_dict())
    assert model.load_state_dict(converted, strict=True)


@pytest.mark.parametrize(('name', 'key'), OUTPUTS or [('absent', '')])
def test_heatmaps(shared, reference_fill, name, key):
    """Between two correct single-precision implementations lie about 6e-6."""
    layout, model = load(shared, name), build(name)
    scaled = key == 'heatmaps_scaled'
    weights = weights_of(layout, reference_fill, scaled)
    model.load_state_dict(convert(weights, model))
    expected = np.load(shared / f'reference/outputs/tokenpose-{name}.npz')[key]
    found = heatmaps(model, reference_fill, layout)
    assert np.abs(expected).max() > 1
    assert np.abs(found - expected).max() < 2e-5


@pytest.mark.parametrize('key', SPARSE)
def test_sparse_heatmaps(shared, reference_fill, key):
    """Against a second implementation of the sparse forms, masks included."""
    name = 'sparse-ref-coco-256x192'
    layout, model = load(shared, name), build(name, **SPARSE[key])
    weights = weights_of(layout, reference_fill, scaled=True)
    model.load_state_dict(convert(weights, model))
    golden = np.load(shared / f'reference/outputs/tokenpose-{name}.npz')
    choices = []
    if model.head.pruning is not None:
        for selector in model.head.pruning.selectors.values():
            selector.register_forward_hook(lambda *args: choices.append(args[-1]))
    found = heatmaps(model, reference_fill, layout)
    assert np.abs(found - golden[key]).max() < 2e-5
    if key == 'mask':
        stored = np.unpackbits(golden['masks_packed']).reshape(3, 2, 256, 256)
        assert np.array_equal(torch.stack(choices).numpy(), stored.astype(bool))


def test_a_checkpoint_of_the_sparse_author_loads_dense(shared, reference_fill):
    """It was trained with attention that no mask reached; the table was added once."""
    layout = load(shared, 'sparse-upstream-mpii-256x256')
    model = build('S-v1-mpii-256x256', embed_dims=256, position='sine', graph_depth=3)
    converted = convert(weights_of(layout, reference_fill, False), model)
    assert model.load_state_dict(converted, strict=True)
    with torch.no_grad():
        found = model(torch.zeros(1, 3, 256, 256), None)
    assert found.shape == (1, 16, 64, 64)
    assert found.isfinite().all()
