"""Attention that is computed again, and what pruning keeps, against the layers."""

import numpy as np
import pytest
import torch
from explain_models import HEIGHT, SPARSE, WHOLE, WIDTH, scene, token_model
from torch import nn

from mmpose_lite.explain import explain, recorded
from mmpose_lite.explain.tokens import attention_parts, head_attention

PATCHES = 48


def attention_of(model):
    image = torch.randn(1, 3, HEIGHT, WIDTH)
    with recorded(attention_parts(model)) as calls, torch.no_grad():
        model.head((image,))
    return calls, head_attention(model.head, calls)


def choice(model, calls, layer):
    return calls[model.head.pruning.selectors[layer]].output[0]


@pytest.mark.parametrize('name', SPARSE)
def test_recomputed_attention_gives_what_the_layer_gave(name):
    """Probabilities times values are the input of the layer's last projection."""
    model = token_model(name)
    # Sharper than at the start, where a wrong mask would hardly show.
    for linear in (m for m in model.head.modules() if isinstance(m, nn.Linear)):
        nn.init.normal_(linear.weight, std=0.3)
    calls, found = attention_of(model)
    layers = [layer for encoder in model.head.encoders for layer in encoder]
    layers += model.head.graph_layers
    for (key, one), layer in zip(found.items(), layers, strict=True):
        value = layer.attention.project(calls[layer.attention_norm].output)[2][0]
        queries, keys = one.allowed.any(dim=1), one.allowed.any(dim=0)
        if name != 'token':  # keys that nobody may see are there nevertheless
            keys |= True
        probabilities = one.probabilities[:, queries][:, :, keys]
        heads = (probabilities @ value).transpose(0, 1).flatten(1)
        expected = calls[layer.attention.out].input[0]
        assert heads.shape == expected.shape, key
        assert (heads - expected).abs().max() < 1e-4 * expected.abs().max(), key
        assert torch.allclose(probabilities.sum(-1), torch.ones(()), atol=1e-5)


def test_dropped_tokens_are_blank_where_they_lay():
    model = token_model('token')
    calls, found = attention_of(model)
    first = choice(model, calls, '1')
    left = first[choice(model, calls, '3')]
    # The layer that chooses still sees all; those after it what was kept.
    for key, kept in {'1': torch.arange(PATCHES), '3': first, '5': left}.items():
        seen = found[key].on_patches(0, 17)
        assert np.array_equal(np.flatnonzero(~np.isnan(seen)), kept), key
    assert len(left) < len(first) < PATCHES


def test_pruned_connections_are_blank_for_patches_only():
    model = token_model('mask')
    calls, found = attention_of(model)
    kept = choice(model, calls, '3').numpy()
    for patch in (0, 30):
        seen = found['4'].on_patches(17 + patch, 17)
        assert np.array_equal(~np.isnan(seen), kept[patch])
    assert not np.isnan(found['4'].on_patches(3, 17)).any()


def pruning(name):
    return explain(token_model(name), scene(), WHOLE, only=['pruning']).sections[1:]


def test_tokens_left_shrink_from_layer_to_layer():
    (section,) = pruning('token')
    assert section.title == 'What pruning keeps, mode token'
    first, second = (panel.kept for panel in section.panels)
    assert first.shape == (8, 6)
    assert (first.sum(), second.sum()) == (20, 8)
    assert not (second & ~first).any()


def test_a_shared_choice_is_shown_once():
    (section,) = pruning('shared')
    assert [int(panel.kept.sum()) for panel in section.panels] == [20, 20]


@pytest.mark.parametrize('name', ['mask', 'gather', 'block'])
def test_choices_of_patches_are_those_of_the_first_image(name):
    # A flip test runs the network twice; the second time is not recorded.
    model = token_model(name, flip_test=True)
    chosen = {}
    for layer, selector in model.head.pruning.selectors.items():
        selector.register_forward_hook(
            lambda _, __, out, at=layer: chosen.setdefault(at, out)
        )
    *own, share = explain(model, scene(), WHOLE, only=['pruning']).sections[1:]
    masks = [model.head.pruning.as_mask(kept)[0].numpy() for kept in chosen.values()]
    assert len(own) == 2
    assert share.title == f'Share of the patches that see a patch, mode {name}'
    for i, mask in enumerate(masks):
        for section in own:
            assert any(np.array_equal(section.panels[i].kept.ravel(), m) for m in mask)
        assert np.allclose(share.panels[i].heat.ravel(), mask.mean(axis=0))


def test_graph_layers_show_who_sees_whom():
    model = token_model('graph')
    *_, last = explain(model, scene()).sections
    assert last.title == 'Attention among keypoints, graph layers'
    links = last.panels[0].links
    allowed = model.head.joint_mask.numpy()
    assert allowed[5].sum() == 3  # a shoulder: itself, the other one, its elbow
    assert (links[~allowed] < 1e-6).all()
    assert (links[allowed & ~np.eye(17, dtype=bool)] > 1e-6).all()


def test_dense_head_prunes_nothing():
    with pytest.raises(ValueError, match=r"only must be .*'TokenPose'.*sparse_cfg"):
        explain(token_model(), scene(), only=['pruning'])
