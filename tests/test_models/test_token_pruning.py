"""Tokens, attention, masks and pruning: against plain loops and each other."""

from __future__ import annotations

import io
import itertools
import json
import math

import numpy as np
import pytest
import torch
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from parity import untaught
from torch.nn import functional as F

from mmpose_lite.models.heads import TokenPoseHead
from mmpose_lite.models.layers import (
    EncoderLayer,
    PatchEmbedding,
    build_pruning,
    joint_mask,
    sine_position_table,
)
from mmpose_lite.models.layers import sparse_attention as sparse

J = 5
GRID = (8, 4)
SMALL = dict(
    in_channels=6,
    out_channels=J,
    in_featuremap_size=(16, 12),
    heatmap_size=(16, 12),
    patch_size=(2, 3),
    embed_dims=24,
    num_heads=3,
    depths=(5,),
)
ROUNDS = dict(layers=(1, 3))
COCO = dict(from_file='configs/_base_/datasets/coco.py')
MODES = {
    'mask': dict(mode='mask'),
    'mask-progressive': dict(mode='mask', reselect='masked'),
    'mask-eps': dict(mode='mask', mask_eps=1e-6),
    'gather': dict(mode='gather'),
    'gather-progressive': dict(mode='gather', reselect='masked'),
    'block': dict(mode='block', block=4),
    'block-progressive': dict(mode='block', block=2, reselect='masked'),
    'shared': dict(mode='shared'),
    'shared-progressive': dict(mode='shared', reselect='masked'),
    'shared-keypoint': dict(mode='shared', queries='keypoint'),
    'shared-keypoint-progressive': dict(
        mode='shared', queries='keypoint', reselect='masked'
    ),
    'token': dict(mode='token'),
}


def small_head(seed=0, **options):
    """A head in double precision, the same weights for every option."""
    torch.manual_seed(seed)
    head = TokenPoseHead(**{**SMALL, **options}).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in sorted(head.named_parameters()):
            if not name.startswith('graph'):
                noise = torch.randn(value.shape, generator=generator).double()
                value.copy_(noise / math.sqrt(value.shape[-1]) * 1.5)
    return head


def feature_map(batch=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 6, 12, 16, generator=generator).double()


def run(head, batch=2):
    with torch.no_grad():
        return head((feature_map(batch),))


def qkv(n=32, batch=2, heads=3, width=4):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(3, batch, heads, J + n, width, generator=generator).double()


def test_patches_are_flattened_channel_fastest():
    embed = PatchEmbedding(3, (2, 4), 5)
    feat = torch.randn(2, 3, 8, 6)
    tokens = embed(feat)
    assert tokens.shape == (2, 6, 5)
    for row, column in itertools.product(range(2), range(3)):
        patch = feat[:, :, 4 * row : 4 * row + 4, 2 * column : 2 * column + 2]
        patch = patch.permute(0, 2, 3, 1).flatten(1)  # rows, columns, then channels
        expected = F.linear(patch, embed.weight, embed.bias)
        torch.testing.assert_close(tokens[:, 3 * row + column], expected)


def test_sine_table_by_hand():
    table = sine_position_table((3, 5), 8)
    assert table.shape == (1, 15, 8)
    for row, column in itertools.product(range(5), range(3)):
        expected = [
            fun(2 * math.pi * u / (m + 1e-6) / 10000 ** (2 * (k // 2) / 4))
            for u, m in ((row + 1, 5), (column + 1, 3))
            for k, fun in enumerate((math.sin, math.cos) * 2)
        ]
        found = table[0, 3 * row + column].tolist()
        assert found == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match=r'embed_dims .* multiple of 4.* got 6'):
        sine_position_table((2, 2), 6)


def test_encoder_layer_against_torch():
    """Torch's own pre-norm layer, with our weights, with and without a mask."""
    ours = EncoderLayer(12, 3, mlp_ratio=2).double().eval()
    kind = dict(activation='gelu', batch_first=True, norm_first=True)
    theirs = torch.nn.TransformerEncoderLayer(12, 3, 24, 0.0, **kind).double()
    names = {
        'self_attn.in_proj_weight': 'attention.qkv.weight',
        'self_attn.out_proj.': 'attention.out.',
        'norm1.': 'attention_norm.',
        'norm2.': 'mlp_norm.',
        'linear1.': 'mlp.0.',
        'linear2.': 'mlp.2.',
    }
    state = {'self_attn.in_proj_bias': torch.zeros(36)}
    for key in theirs.state_dict():
        for old, new in names.items():
            if key.startswith(old):
                state[key] = ours.state_dict()[new + key.removeprefix(old)]
    theirs.load_state_dict(state)
    theirs.train()  # its fast path of eval mode is not to be tested here
    tokens = torch.randn(2, 7, 12).double()
    torch.testing.assert_close(ours(tokens), theirs(tokens))
    mask = torch.rand(7, 7) > 0.5
    mask |= torch.eye(7, dtype=torch.bool)
    torch.testing.assert_close(ours(tokens, mask), theirs(tokens, src_mask=~mask))


def test_attention_scale():
    plain, width = EncoderLayer(12, 3), EncoderLayer(12, 3, scale=12**-0.5)
    assert plain.attention.scale == pytest.approx(0.5)
    width.load_state_dict(plain.state_dict())
    tokens = torch.randn(1, 4, 12)
    assert not torch.allclose(plain(tokens), width(tokens))


def loop_attention(query, key, value, allowed, scale):
    """One query at a time, over the keys it may see."""
    out = torch.zeros_like(query)
    for b, h, i in itertools.product(*map(range, query.shape[:3])):
        keys = allowed[b, i].nonzero().flatten()
        weight = (key[b, h, keys] @ query[b, h, i] * scale).softmax(0)
        out[b, h, i] = weight @ value[b, h, keys]
    return out


def test_row_mask_keeps_the_best_and_itself():
    importance = torch.rand(2, 9, 9).double()
    mask = sparse.row_mask(importance, 4)
    for b, i in itertools.product(range(2), range(9)):
        best = set(importance[b, i].argsort(descending=True)[:4].tolist()) | {i}
        assert set(mask[b, i].nonzero().flatten().tolist()) == best


def test_ties_do_not_grow_a_row():
    mask = sparse.row_mask(torch.zeros(1, 16, 16), 6)
    assert set(mask.sum(-1).flatten().tolist()) <= {6, 7}


def test_masked_attention_against_a_loop():
    query, key, value = qkv()
    visual = torch.rand(2, 32, 32) > 0.6
    visual |= torch.eye(32, dtype=torch.bool)
    allowed = F.pad(visual, (J, 0, J, 0), value=True)
    expected = loop_attention(query, key, value, allowed, 0.3)
    found = sparse.masked_attention(query, key, value, visual, 0.3)
    torch.testing.assert_close(found, expected)
    smooth = sparse.masked_attention(query, key, value, visual, 0.3, eps=1e-12)
    torch.testing.assert_close(smooth, expected)
    leaking = sparse.masked_attention(query, key, value, visual, 0.3, eps=1e-2)
    assert not torch.allclose(leaking, expected, atol=1e-4)


@pytest.mark.parametrize('block', [1, 2, 4])
def test_windowed_attention_against_a_loop(block):
    query, key, value = qkv()
    members = sparse.window_members(GRID, block)
    assert sorted(members.flatten().tolist()) == list(range(32))
    indices = sparse.top_indices(torch.rand(2, len(members), 32), 7)
    visual = torch.zeros(2, 32, 32, dtype=torch.bool)
    for b, (w, window) in itertools.product(range(2), enumerate(members.tolist())):
        for i in window:
            visual[b, i, indices[b, w]] = True
            visual[b, i, i] = True
    assert torch.equal(sparse.window_mask(indices, members), visual)
    allowed = F.pad(visual, (J, 0, J, 0), value=True)
    expected = loop_attention(query, key, value, allowed, 0.3)
    found = sparse.windowed_attention(query, key, value, indices, members, 0.3)
    torch.testing.assert_close(found, expected)


def test_windows_are_neighbours():
    members = sparse.window_members((8, 4), 2)
    assert members.shape == (8, 4)
    assert members[0].tolist() == [0, 1, 8, 9]
    assert members[5].tolist() == [18, 19, 26, 27]


def test_importance_is_attention_summed_over_heads():
    query, key, _ = qkv()
    expected = (query @ key.mT * 0.3).softmax(-1)[..., J:].sum(1)
    found = sparse.visual_importance(query, key, 0.3, J)
    torch.testing.assert_close(found, expected)
    mask = torch.rand(2, J + 32, 32) > 0.5
    found = sparse.visual_importance(query, key, 0.3, J, mask)
    assert (found[~mask] == 0).all()
    assert (found[mask] > 0).all()


@pytest.mark.parametrize('mode', MODES)
def test_keeping_all_is_dense(mode):
    options = {**ROUNDS, **MODES[mode], 'keep_ratio': 1.0}
    expected = run(small_head())
    found = run(small_head(sparse_cfg=options))
    tolerance = 1e-4 if 'eps' in mode else 1e-12
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize('reselect', ['dense', 'masked'])
@pytest.mark.parametrize('ratio', [0.2, 0.6])
def test_gather_and_windows_of_one_equal_the_mask(ratio, reselect):
    options = dict(ROUNDS, keep_ratio=ratio, reselect=reselect)
    expected = run(small_head(sparse_cfg=dict(options, mode='mask')))
    assert not torch.allclose(expected, run(small_head()))
    for other in (dict(mode='gather'), dict(mode='block', block=1)):
        found = run(small_head(sparse_cfg=dict(options, **other)))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def choices_of(head, batch=2):
    found = []
    for selector in head.pruning.selectors.values():
        selector.register_forward_hook(lambda *args: found.append(args[-1]))
    run(head, batch)
    return found


def test_a_choice_holds_from_the_next_layer_on():
    """After the last layer a choice can change nothing; after the first it does."""
    dense = run(small_head())
    last = run(small_head(sparse_cfg=dict(mode='mask', keep_ratio=0.2, layers=(4,))))
    torch.testing.assert_close(last, dense, rtol=0, atol=0)
    first = run(small_head(sparse_cfg=dict(mode='mask', keep_ratio=0.2, layers=(0,))))
    assert not torch.allclose(first, dense, atol=1e-3)


def test_dense_reselection_moves_and_masked_shrinks():
    options = dict(mode='mask', layers=(0, 1, 2, 3))
    dense = choices_of(small_head(sparse_cfg=options))
    assert all(20 <= mask.sum(-1).max() <= 21 for mask in dense)  # .6 of 32, and itself
    assert (dense[1] & ~dense[0]).any(), 'pruned keys may return'
    masked = choices_of(small_head(sparse_cfg=dict(options, reselect='masked')))
    counts = [math.ceil(0.6**step * 32) for step in range(1, 5)]
    for mask, count in zip(masked, counts, strict=True):
        assert set(mask.sum(-1).flatten().tolist()) <= {count, count + 1}
    for before, after in itertools.pairwise(masked):
        assert not (after & ~before).any()


def test_token_mode_drops_what_keypoints_look_at_least():
    options = dict(ROUNDS, mode='token', keep_ratio=0.5)
    head = small_head(sparse_cfg=options)
    kept = choices_of(head)
    assert [choice.shape[1] for choice in kept] == [16, 8]
    lengths = []
    for layer in head.encoders[0]:
        layer.register_forward_hook(lambda *args: lengths.append(args[-1].shape[1]))
    run(head)  # layers that prune run in parts
    assert lengths == [J + 32, J + 16, J + 8]


def test_token_mode_against_masks_by_hand():
    """Dropping equals a network that goes on with the kept rows alone."""
    options = dict(mode='token', keep_ratio=0.5, layers=(2,))
    found = run(small_head(sparse_cfg=options))
    head = small_head()
    with torch.no_grad():
        tokens, position, _ = head.embed(feature_map())
        for depth, layer in enumerate(head.encoders[0]):
            tokens = tokens + position * bool(depth)
            if depth == 2:
                q, k, v = layer.attention.project(layer.attention_norm(tokens))
                weight = (q @ k.mT * layer.attention.scale).softmax(-1)
                best = weight[:, :, :J, J:].sum((1, 2)).argsort(descending=True)[:, :16]
                rows = [torch.cat((torch.arange(J), J + b)) for b in best]
                tokens = tokens + layer.attention.merge(weight @ v)
                tokens = torch.stack([t[r] for t, r in zip(tokens, rows, strict=True)])
                position = torch.stack([position[0][r] for r in rows])
                tokens = layer.feed(tokens)
            else:
                tokens = layer(tokens)
        expected = head.heatmap_mlp(tokens[:, :J]).unflatten(-1, (12, 16))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('mode', MODES)
def test_every_parameter_gets_a_gradient(mode):
    head = small_head(
        sparse_cfg={**ROUNDS, **MODES[mode]},
        graph_depth=2,
        joint_mask=torch.ones(J, J).tolist(),
    )
    head.train()((feature_map(),)).pow(2).sum().backward()
    assert untaught(head) == []


@pytest.mark.parametrize('mode', MODES)
def test_images_do_not_mix(mode):
    head = small_head(sparse_cfg={**ROUNDS, **MODES[mode]})
    both = run(head)
    with torch.no_grad():
        for i, image in enumerate(feature_map()):
            torch.testing.assert_close(head((image[None],))[0], both[i])


# The size check of the head becomes a constant in a trace, as it should.
@pytest.mark.filterwarnings('ignore:Converting a tensor to a Python boolean')
@pytest.mark.parametrize('mode', ['dense', *MODES])
def test_exports_with_static_shapes(mode):
    """``torch.export`` and tracing, run on another map than the one they saw."""
    options = {} if mode == 'dense' else dict(sparse_cfg={**ROUNDS, **MODES[mode]})
    head = small_head(**options, graph_depth=1, joint_mask=torch.eye(J).tolist())
    other = (feature_map(seed=9),)
    with torch.no_grad():
        expected = head(other)
        program = torch.export.export(head, ((feature_map(),),))
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        buffer.seek(0)
        found = torch.export.load(buffer).module()(other)
        torch.testing.assert_close(found, expected)
        traced = torch.jit.trace(head, ((feature_map(),),), check_trace=False)
        torch.testing.assert_close(traced(other), expected)


def test_flat_and_wide_sequences_of_encoders():
    """Choices and positions go on from encoder to encoder."""
    head = small_head(depths=(2, 2, 1), sparse_cfg=dict(mode='token', layers=(1, 2)))
    assert run(head).shape == (2, J, 12, 16)
    shapes = []
    for encoder in head.encoders:
        encoder[-1].register_forward_hook(lambda *args: shapes.append(args[-1].shape))
    run(head)
    assert shapes[-1] == (2, J + 12, 24)  # 32 → 20 → 12


@pytest.mark.parametrize('ratio', [0.1, 0.2, 0.3, 0.6, 0.7])
def test_kept_share_is_rounded_up_but_not_by_rounding_errors(ratio):
    pruning = build_pruning(dict(keep_ratio=ratio, layers=(0,)), 5, J, (30, 1))
    kept = pruning.selectors['0'](torch.rand(1, 30, 30)).sum(-1).min()
    assert kept == round(ratio * 30)  # a whole number in all of them
    pruning = build_pruning(dict(keep_ratio=ratio, layers=(0,)), 5, J, (31, 1))
    assert pruning.selectors['0'].count == math.ceil(ratio * 31)


def metainfo(name):
    return parse_pose_metainfo(dict(from_file=f'configs/_base_/datasets/{name}.py'))


@pytest.mark.parametrize('name', ['coco', 'mpii'])
def test_joint_masks_of_the_reference(shared, name):
    path = shared / 'reference/outputs/tokenpose-sparse-masks.json'
    stored = json.loads(path.read_text())[name]
    for variant in ('skeleton', 'limb'):
        found = joint_mask(metainfo(name), variant)
        assert np.array_equal(found.numpy(), np.array(stored[variant], bool)), variant


def test_example_of_the_paper():
    """A shoulder keeps its elbow and the other shoulder."""
    mask = joint_mask(metainfo('coco'), 'limb')
    assert mask[5].nonzero().flatten().tolist() == [5, 6, 7]


@pytest.mark.parametrize('name', ['aic', 'crowdpose', 'coco_wholebody', 'animalpose'])
def test_any_data_set_gives_a_mask(name):
    info = metainfo(name)
    mask = joint_mask(info, 'skeleton')
    assert mask.shape == (info['num_keypoints'],) * 2
    assert torch.equal(mask, mask.T)
    assert mask.diagonal().all()
    limb = joint_mask(info, 'limb')
    assert not (limb & ~mask).any()
    first = info['skeleton_links'][0]
    less = joint_mask(info, 'skeleton', drop_links=[first[::-1]])
    pairs = {frozenset(pair) for pair in info['flip_pairs']}
    assert bool(less[tuple(first)]) == (frozenset(first) in pairs)


def test_graph_layers_mix_connected_keypoints_only():
    """A chain of three: one layer reaches the neighbour, two the end."""
    chain = torch.eye(J, dtype=torch.bool)
    chain[0, 1] = chain[1, 0] = chain[1, 2] = chain[2, 1] = True
    for depth, reached in ((1, {0, 1}), (2, {0, 1, 2})):
        head = small_head(graph_depth=depth, joint_mask=chain.tolist())
        tokens = torch.randn(1, J, 24).double()
        changed = tokens.clone()
        changed[:, 0] += torch.randn(24).double()
        for layer in head.graph_layers:
            tokens, changed = (layer(x, head.joint_mask) for x in (tokens, changed))
        moved = (tokens - changed).abs().sum(-1)[0] > 1e-9
        assert set(moved.nonzero().flatten().tolist()) == reached


def test_warm_start_from_a_dense_checkpoint_keeps_the_function():
    graph = dict(graph_depth=3, joint_mask='skeleton', metainfo=COCO)
    dense = small_head(out_channels=17)
    for zero_init in (True, False):
        options = {**SMALL, **graph, 'out_channels': 17, 'graph_zero_init': zero_init}
        head = TokenPoseHead(**options)
        head.init_weights()
        left = head.double().eval().load_state_dict(dense.state_dict(), strict=False)
        assert not left.unexpected_keys
        assert all(key.startswith('graph_layers.') for key in left.missing_keys)
        assert torch.equal(run(head), run(dense)) == zero_init
