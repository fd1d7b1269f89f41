"""The checkpoint converter: every stored layout, every kind of file, every refusal."""

from __future__ import annotations

import importlib
import json
import math
import re
from fractions import Fraction
from functools import partial

import pytest
import torch
from command_line import run_verb
from conftest import ROOT, SHARED
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmpose.registry import MODELS
from safetensors.torch import load_file, save_file
from torch import nn

from mmpose_lite.checkpoints import (
    LAYOUTS,
    Drop,
    Layout,
    Rename,
    convert,
    encode_checkpoint,
    read_checkpoint,
    translate,
)
from mmpose_lite.checkpoints import safetensors as safetensors_files
from mmpose_lite.checkpoints.convert import apply
from mmpose_lite.checkpoints.tokenpose import is_sine_table
from mmpose_lite.models.heads import TokenPoseHead
from mmpose_lite.models.layers import EncoderLayer

NAMES = sorted(
    path.stem for path in (SHARED / 'reference/layouts').glob('tokenpose-*.json')
)
# Where the reference is absent one skipped case says so.
every_layout = pytest.mark.parametrize('name', NAMES or ['absent'])
# Layouts of the codes that stand on MMPose 0.x.
OLDER = sorted(
    path.stem for path in (SHARED / 'reference/layouts').glob('*hrnet-*.json')
)
# Start of a stored layout's name, longest first → the table it must be converted by.
TABLE_OF = {
    'tokenpose-sparse': 'TokenPose-S with sparsity',
    # One encoder on a trunk is what the B class builds, whatever the trunk's width.
    'tokenpose-L-D6-single': 'TokenPose-B',
    'tokenpose-L': 'TokenPose-L',
    'tokenpose-B': 'TokenPose-B',
    'tokenpose-S': 'TokenPose-S',
    'tokenpose-T': 'TokenPose-T',
}
WIDTH, JOINTS, ROWS, COLUMNS = 8, 3, 4, 2
TOKENS = ROWS * COLUMNS


def sine_table(rows, columns, width):
    """The specified table, ``(1, rows * columns, width)``, written as loops."""

    def axis(position, length):
        angle = 2 * math.pi * position / (length + 1e-6)
        period = [10000 ** (2 * (k // 2) / (width // 2)) for k in range(width // 2)]
        wave = (math.sin, math.cos)
        return [wave[k % 2](angle / period[k]) for k in range(width // 2)]

    return torch.tensor(
        [
            axis(row, rows) + axis(column, columns)
            for row in range(1, rows + 1)
            for column in range(1, columns + 1)
        ]
    )[None]


def stored(shared, name):
    """A file of a stored layout: only the position embedding has values."""
    layout = json.loads((shared / f'reference/layouts/{name}.json').read_text())
    state = {
        key: torch.empty(shape, device='meta')
        for key, shape in layout['state_dict'].items()
    }
    key = next(key for key in state if key.endswith('pos_embedding'))
    _, tokens, width = state[key].shape
    if key in layout['keep']:
        height, breadth = layout['input_size']
        rows = round(math.sqrt(tokens * height / breadth))
        rows = next(r for r in range(rows, 0, -1) if tokens % r == 0)
        state[key] = sine_table(rows, tokens // rows, width)
    else:
        state[key] = 0.02 * torch.randn(1, tokens, width)
    return state


@every_layout
def test_stored_layout(shared, name):
    """By its table; that keys fit a model, tests of parity show."""
    state = stored(shared, name)
    done = translate(state)
    table = next(table for start, table in TABLE_OF.items() if name.startswith(start))
    assert done.layout.name == table
    assert len(done.state_dict) + len(done.dropped) == len(state)
    dropped = {item.key.partition('.')[2]: item.row.reason for item in done.dropped}
    sine = set() if 'learnable' in name else {'pos_embedding'}
    author = {'joint_mask'} | {
        f'{stack}.norm.{p}'
        for stack in ('transformer', 'joint_transformer')
        for p in ('weight', 'bias')
    }
    assert set(dropped) == sine | (author if 'upstream' in name else set())
    assert all(dropped.values())


def meta_state(path):
    """Keys and shapes of a stored layout."""
    shapes = json.loads(path.read_text())['state_dict']
    return {key: torch.empty(shape, device='meta') for key, shape in shapes.items()}


@pytest.mark.parametrize('name', OLDER or ['absent'])
def test_layouts_of_older_mmpose(shared, name):
    """Official Lite-HRNet and X-HRNet: nothing changes but the head's first word."""
    state = meta_state(shared / f'reference/layouts/{name}.json')
    done = translate(state)
    assert done.layout.name == 'MMPose 0.x: Lite-HRNet, X-HRNet'
    ours = {key.replace('keypoint_head.', 'head.'): state[key] for key in state}
    assert done.state_dict == ours
    assert ours.keys() != state.keys()
    assert done.dropped == ()


PSA_CONFIGS = {
    'HRNet with PSA': 'td-hm_hrnet-w32-psa-s_udp-8xb64-210e_coco-256x192.py',
    'ResNet with PSA': 'td-hm_res50-psa-p_8xb64-210e_coco-256x192.py',
}


def psa_file(table):
    """A network with attention under the names of HRNet's own code, and ours of it."""
    init_default_scope('mmpose')
    cfg = Config.fromfile(ROOT / 'configs/psa' / PSA_CONFIGS[table])
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    own = model.state_dict()
    bare = {key.partition('.')[2]: value for key, value in own.items()}
    assert len(bare) == len(own)
    return bare, own


@pytest.mark.parametrize('table', PSA_CONFIGS)
def test_polarized_attention_in_hrnets_own_names(table):
    bare, own = psa_file(table)
    assert any('.deattn.' in key for key in bare)
    done = translate({'state_dict': parallel(bare)})
    assert done.layout.name == table
    assert {k: v.shape for k, v in done.state_dict.items()} == {
        k: v.shape for k, v in own.items()
    }
    with pytest.raises(ValueError, match=r'1 keys over.*\n  ocr_head\.0\.weight'):
        convert({**bare, 'ocr_head.0.weight': torch.zeros(1)})


def files(shared):
    """Files that together have a key of every kind."""
    for name in NAMES:
        sine = stored(shared, name)
        yield sine
        yield {
            k: torch.randn(v.shape) if k.endswith('pos_embedding') else v
            for k, v in sine.items()
        }
    supernet = meta_state(
        shared / 'reference/layouts/hrnas-supernet-keypoint-transformer-ds.json'
    )
    yield supernet
    yield {key: value for key, value in supernet.items() if '.ops.' not in key}
    yield meta_state(shared / 'reference/layouts/litehrnet-18_coco-256x192.json')
    yield from (psa_file(table)[0] for table in PSA_CONFIGS)
    for path in sorted((shared / 'reference/paddle/layouts').glob('*_256x192*.json')):
        yield meta_state(path)


def test_every_row_of_every_table_is_needed(shared):
    unused = {(table.name, row) for table in LAYOUTS for row in table.rows}
    for state in files(shared):
        table = translate(state).layout
        if table.prepare is not None:
            state, _ = table.prepare(state)
        unused -= {(table.name, table.row(k, v)) for k, v in state.items()}
    assert unused == set()


# --- A file with values, and the network it belongs to --------------------------------


def layer_tensors(name):
    """One official layer; the hidden width is 3 times the tokens' width."""
    norm, wide = (WIDTH,), 3 * WIDTH
    shapes = {
        '0.fn.norm.weight': norm,
        '0.fn.norm.bias': norm,
        '0.fn.fn.to_qkv.weight': (wide, WIDTH),
        '0.fn.fn.to_out.0.weight': (WIDTH, WIDTH),
        '0.fn.fn.to_out.0.bias': norm,
        '1.fn.norm.weight': norm,
        '1.fn.norm.bias': norm,
        '1.fn.fn.net.0.weight': (wide, WIDTH),
        '1.fn.fn.net.0.bias': (wide,),
        '1.fn.fn.net.3.weight': (WIDTH, wide),
        '1.fn.fn.net.3.bias': norm,
    }
    return {f'{name}.{key}': torch.randn(shape) for key, shape in shapes.items()}


def official(position=None):
    """A small TokenPose-T file; ``position`` stands for its sine table."""
    state = {
        'transformer.keypoint_token': torch.randn(1, JOINTS, WIDTH),
        'transformer.pos_embedding': (
            sine_table(ROWS, COLUMNS, WIDTH) if position is None else position
        ),
        'transformer.patch_to_embedding.weight': torch.randn(WIDTH, 12),
        'transformer.patch_to_embedding.bias': torch.randn(WIDTH),
        **layer_tensors('transformer.transformer.layers.0'),
        **layer_tensors('transformer.transformer.layers.1'),
    }
    for index, shape in enumerate([(WIDTH,), (16, WIDTH), (16,), (20, 16)]):
        state[f'transformer.mlp_head.{index}.weight'] = torch.randn(shape)
        state[f'transformer.mlp_head.{index}.bias'] = torch.randn(shape[0])
    return state


class Network(nn.Module):
    """The network that :func:`official` is of, without its trunk."""

    def __init__(self, learnable=False):
        super().__init__()
        self.head = TokenPoseHead(
            in_channels=3,
            out_channels=JOINTS,
            in_featuremap_size=(2 * COLUMNS, 2 * ROWS),
            heatmap_size=(4, 5),
            patch_size=(2, 2),
            embed_dims=WIDTH,
            depths=(2,),
            num_heads=2,
            mlp_ratio=3,
            hidden_channels=16,
            position='learnable' if learnable else 'sine',
        )


def test_each_tensor_goes_where_its_meaning_is():
    """Keys of equal shape (norms, biases) could be swapped and still load."""
    state = official()
    converted = convert(state, Network())
    layer = 'transformer.transformer.layers.1'
    ours = 'head.encoders.0.1'
    pairs = {
        'transformer.keypoint_token': 'head.keypoint_tokens',
        'transformer.patch_to_embedding.weight': 'head.patch_embedding.weight',
        'transformer.patch_to_embedding.bias': 'head.patch_embedding.bias',
        f'{layer}.0.fn.norm.weight': f'{ours}.attention_norm.weight',
        f'{layer}.0.fn.norm.bias': f'{ours}.attention_norm.bias',
        f'{layer}.0.fn.fn.to_qkv.weight': f'{ours}.attention.qkv.weight',
        f'{layer}.0.fn.fn.to_out.0.weight': f'{ours}.attention.out.weight',
        f'{layer}.0.fn.fn.to_out.0.bias': f'{ours}.attention.out.bias',
        f'{layer}.1.fn.norm.weight': f'{ours}.mlp_norm.weight',
        f'{layer}.1.fn.norm.bias': f'{ours}.mlp_norm.bias',
        f'{layer}.1.fn.fn.net.0.weight': f'{ours}.mlp.0.weight',
        f'{layer}.1.fn.fn.net.0.bias': f'{ours}.mlp.0.bias',
        f'{layer}.1.fn.fn.net.3.weight': f'{ours}.mlp.2.weight',
        f'{layer}.1.fn.fn.net.3.bias': f'{ours}.mlp.2.bias',
        'transformer.mlp_head.0.weight': 'head.heatmap_mlp.0.weight',
        'transformer.mlp_head.3.bias': 'head.heatmap_mlp.3.bias',
    }
    assert all(converted[mine] is state[theirs] for theirs, mine in pairs.items())


def wrapped(state):
    return {'epoch': 300, 'state_dict': state, 'optimizer': {'lr': 0.1}}


def parallel(state):
    return {f'module.{key}': value for key, value in state.items()}


@pytest.mark.parametrize(
    'wrap', [dict, wrapped, parallel, lambda s: wrapped(parallel(s))]
)
def test_every_wrapping_converts_to_the_same_strict_state(wrap):
    state, net = official(), Network()
    converted = convert(wrap(state), net)
    assert list(converted) == list(convert(state))
    net.load_state_dict(converted, strict=True)
    last = net.head.encoders[0][1].mlp[2].weight
    assert torch.equal(
        last, state['transformer.transformer.layers.1.1.fn.fn.net.3.weight']
    )


def test_account_names_all_that_is_not_kept():
    account = '\n'.join(translate(wrapped(official())).account())
    assert 'TokenPose-T' in account
    assert 'transformer.pos_embedding: a table of sines' in account
    assert 'not kept: epoch, optimizer' in account


def test_left_over_keys_are_listed_with_the_nearest():
    state = official()
    state['transformer.keypoint_tokens'] = torch.zeros(2, 5)
    state['loss.weight'] = torch.zeros(1)
    with pytest.raises(ValueError, match='leaves 2 keys over') as error:
        convert(state)
    lines = str(error.value).splitlines()
    nearest = r'transformer.keypoint_tokens (2, 5); nearest: transformer.keypoint_token'
    assert nearest in lines[1]
    assert 'loss.weight (1,)' in lines[2]


@pytest.mark.parametrize(
    'stray', ['pre_feature.final_layer.weight', 'pre_feature.stage4.0.weight']
)
def test_trunk_takes_no_more_than_its_parts(shared, stray):
    state = stored(shared, 'tokenpose-B-256x192')
    state[stray] = torch.zeros(1)
    with pytest.raises(ValueError, match=stray):
        convert(state)


def test_only_the_unused_norm_of_the_sparse_code_is_dropped(shared):
    state = stored(shared, 'tokenpose-sparse-upstream-mpii-256x256')
    state['features.transformer.norm.weight'] = torch.zeros(256)
    with pytest.raises(ValueError, match=r'transformer\.norm\.weight \(256,\)'):
        convert(state)


def test_two_keys_with_one_name_are_refused():
    table = Layout('both', ('a.x',), (Rename(r'[ab]\.(\w)', r'head.\1'),))
    with pytest.raises(ValueError, match=r'a\.x and b\.x both become head\.x'):
        apply(table, {'a.x': torch.zeros(1), 'b.x': torch.zeros(1)})


def test_condition_of_a_drop_decides():
    rows = (Drop('a', 'small', when=lambda t: t.numel() < 2), Rename('a', 'head.a'))
    table = Layout('conditional', ('a',), rows)
    assert apply(table, {'a': torch.zeros(1)})[0] == {}
    assert list(apply(table, {'a': torch.zeros(2)})[0]) == ['head.a']


def test_unknown_layout_lists_the_known_ones_and_keys():
    with pytest.raises(ValueError, match='not known') as error:
        convert({'fc.weight': torch.zeros(1), 'fc.bias': torch.zeros(1)})
    for word in ('fc.weight', 'mmpose_lite', *(table.name for table in LAYOUTS)):
        assert word in str(error.value)


def test_nearly_known_layout_says_what_keeps_it_from_being_known():
    state = official()
    first = 'transformer.transformer.layers.0.0.fn.fn.to_qkv.weight'
    state[first.replace('to_qkv', 'qkv')] = state.pop(first)
    with pytest.raises(ValueError, match='not known') as error:
        convert(state)
    lines = str(error.value).splitlines()
    assert lines[1] == '  TokenPose-T is nearest and knows all of them but 1'
    strange, near = lines[2].split('; nearest: ')
    assert strange == f'  not known there: {first.replace("to_qkv", "qkv")}'
    assert near.startswith(first.replace('layers.0', r'layers.(\d+)'))
    missing, near = lines[3].split('; nearest: ')
    assert missing == f'  missing: {first}'
    assert first.replace('to_qkv', 'qkv') in near.split(', ')
    assert len(lines) == 4
    own = {**Network().state_dict(), 'auxiliary_head.weight': torch.zeros(1)}
    with pytest.raises(
        ValueError, match=r'mmpose_lite is nearest.* but 1\n.*: auxiliary_head\.weight'
    ):
        convert(own)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({}, 'holds no weights'),
        ([1, 2], 'received a list'),
        ({'state_dict': {}, 'epoch': 1}, "entries .*'epoch'"),
        ({'state_dict': 3}, 'holds no weights'),
        ({'model': {'a': 1}, 'epoch': 1}, 'no named tensors: model, epoch'),
        ({1: torch.zeros(1)}, 'no named tensors: 1'),
    ],
)
def test_file_without_weights_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        convert(content)


def test_own_layout_passes_unchanged_and_is_checked():
    net = Network()
    own = dict(net.state_dict())
    done = translate({'state_dict': own, 'meta': {}}, net)
    assert (done.layout.name, done.dropped) == ('mmpose_lite', ())
    assert done.state_dict == own
    del own['head.keypoint_tokens']
    with pytest.raises(ValueError, match=r'1 missing.*\n.*head\.keypoint_tokens'):
        convert(own, net)


# --- Against a model ------------------------------------------------------------------


def test_misfits_are_all_listed_with_shapes():
    net, state = Network(), official()
    net.head.graph_layers = nn.ModuleList([EncoderLayer(WIDTH, 2, mlp_ratio=3)])
    del net.head.encoders[0][1].mlp_norm
    state['transformer.mlp_head.3.bias'] = torch.zeros(21)
    with pytest.raises(ValueError, match='do not fit') as error:
        convert(state, net)
    text = str(error.value)
    assert '11 missing in the file, 2 unknown to the model, 1 of another shape' in text
    assert 'head.graph_layers.0.attention.qkv.weight (24, 8)' in text
    assert (
        'head.encoders.0.1.mlp_norm.bias (8,); nearest: head.graph_layers.0.mlp_norm'
        in text
    )
    assert 'head.heatmap_mlp.3.bias: expected (20,), received (21,)' in text


def test_missing_key_raises_and_leaves_the_model_alone():
    net, state = Network(), official()
    before = net.head.patch_embedding.weight.clone()
    del state['transformer.keypoint_token']
    with pytest.raises(ValueError, match=r'missing.*\n.*head\.keypoint_tokens'):
        convert(state, net)
    assert torch.equal(net.head.patch_embedding.weight, before)


class Fitting(Network):
    """Takes tokens of another number, as X-HRNet its position weights."""

    def _load_from_state_dict(self, state_dict, prefix, *args):
        key = 'head.keypoint_tokens'
        state_dict[key] = state_dict[key][:, :JOINTS]
        super()._load_from_state_dict(state_dict, prefix, *args)


def test_what_a_model_fits_while_it_loads_is_accepted():
    state = official()
    state['transformer.keypoint_token'] = torch.randn(1, JOINTS + 4, WIDTH)
    converted = convert(state, Fitting())
    assert converted['head.keypoint_tokens'].shape == (1, JOINTS + 4, WIDTH)
    with pytest.raises(ValueError, match=r'keypoint_tokens: expected \(1, 3, 8\)'):
        convert(state, Network())


class Fussy(Network):
    """Stumbles over weights, without a word of its own."""

    def _load_from_state_dict(self, *_):
        raise IndexError('dimension out of range')


def test_what_a_model_stumbles_over_is_an_error():
    with pytest.raises(ValueError, match='IndexError: dimension out of range'):
        convert(official(), Fussy())


def test_learned_positions_go_to_a_model_that_learns_them():
    learned = torch.randn(1, JOINTS + TOKENS, WIDTH)
    state, net = official(learned), Network(learnable=True)
    assert convert(state, net)['head.position'] is learned
    with pytest.raises(ValueError, match=r'head\.position .*the model computes it'):
        convert(state, Network())


def test_sine_table_must_be_that_of_the_model():
    turned = sine_table(COLUMNS, ROWS, WIDTH)
    with pytest.raises(ValueError, match=r'pos_embedding: differs from head\.position'):
        convert(official(turned), Network())
    longer = sine_table(ROWS, ROWS, WIDTH)
    with pytest.raises(
        ValueError, match=r'expected \(1, 8, 8\).*received \(1, 16, 8\)'
    ):
        convert(official(longer), Network())
    with pytest.raises(ValueError, match=r'the model learns its head\.position'):
        convert(official(), Network(learnable=True))
    net = Network()
    del net.head.position
    with pytest.raises(ValueError, match=r'the model has no head\.position'):
        convert(official(), net)


def test_file_without_its_sine_table_converts():
    state = official()
    del state['transformer.pos_embedding']
    done = translate(state, Network())
    assert done.dropped == ()
    assert len(done.state_dict) == len(state)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.float16])
def test_sine_tables_are_known_at_every_precision(dtype):
    table = sine_table(16, 16, 192).to(dtype)
    assert is_sine_table(table)
    state = official(sine_table(ROWS, COLUMNS, WIDTH).to(dtype))
    assert 'head.position' not in convert(state, Network())
    table[0, 100, 7] += 0.05
    assert not is_sine_table(table)


def test_other_tables_are_no_sine_tables():
    assert not is_sine_table(torch.randn(1, 64, 192))
    assert not is_sine_table(torch.zeros(1, 64, 192))
    assert not is_sine_table(torch.full((1, 64, 192), float('nan')))
    assert not is_sine_table(torch.ones(1, 64, 191))
    assert not is_sine_table(torch.ones(64, 2, dtype=torch.long))


# --- Files and the tool ---------------------------------------------------------------


@pytest.mark.parametrize(
    ('content', 'error', 'message'),
    [
        (None, FileNotFoundError, 'weights'),
        (b'', ValueError, r'weights\.pth is damaged or no checkpoint'),
        (b'hello world', ValueError, 'damaged or no checkpoint'),
        (b'PK\x03\x04 cut off', ValueError, 'damaged or no checkpoint'),
        ({'lr': Fraction(1, 3)}, ValueError, r'would run code .*fractions\.Fraction'),
    ],
)
def test_files_that_are_refused(tmp_path, content, error, message):
    path = tmp_path / 'weights.pth'
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save({'state_dict': official(), **content}, path)
    with pytest.raises(error, match=message):
        read_checkpoint(path)


# --- Safetensors ----------------------------------------------------------------------


@pytest.mark.parametrize('name', ['weights.safetensors', 'weights.pth', 'weights'])
def test_safetensors_are_known_by_their_content(tmp_path, name):
    state = official()
    save_file(state, tmp_path / name)
    found = read_checkpoint(tmp_path / name)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)
    assert translate(found).layout.name == 'TokenPose-T'


@pytest.mark.parametrize('zipped', [True, False])
def test_other_files_are_not_taken_for_safetensors(tmp_path, zipped):
    path = tmp_path / 'weights.safetensors'
    torch.save(official(), path, _use_new_zipfile_serialization=zipped)
    assert not safetensors_files.is_safetensors(path)
    assert read_checkpoint(path).keys() == official().keys()


@pytest.mark.parametrize(
    'damage',
    [
        lambda c: c[:-1],
        lambda c: c[:200],
        lambda c: c[:9],
        lambda c: c + b'more',
        lambda c: c[:8] + b'{' + b' ' * (len(c) - 9),
        lambda c: (10**7).to_bytes(8, 'little') + c[8:],
        lambda c: c.replace(b'F32', b'F99'),
        lambda c: c.replace(b'"data_offsets":[0,', b'"data_offsets":[8,', 1),
    ],
    ids=['short', 'header', 'start', 'long', 'no-json', 'length', 'dtype', 'offsets'],
)
def test_damaged_safetensors_are_refused_with_the_reason(tmp_path, damage):
    path = tmp_path / 'damaged.safetensors'
    save_file(official(), path)
    whole = path.read_bytes()
    broken = damage(whole)
    assert broken != whole
    path.write_bytes(broken)
    with pytest.raises(
        ValueError, match=r'damaged\.safetensors is damaged or no checkpoint \(.+\)'
    ):
        read_checkpoint(path)


def test_missing_package_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / 'weights.safetensors'
    save_file(official(), path)

    def absent(name):
        raise ModuleNotFoundError(f'No module named {name}', name='safetensors')

    monkeypatch.setattr(safetensors_files, 'import_module', absent)
    for act in (read_checkpoint, lambda p: encode_checkpoint(p, official(), {})):
        with pytest.raises(
            ImportError, match=r'pip install mmpose_lite\[safetensors\]'
        ):
            act(path)
    # A package that is there but broken says so itself.
    monkeypatch.setattr(
        safetensors_files,
        'import_module',
        lambda _: importlib.import_module('no_such_module'),
    )
    with pytest.raises(ModuleNotFoundError, match='no_such_module'):
        read_checkpoint(path)


def test_views_and_shared_memory_are_stored(tmp_path):
    table = torch.randn(4, 6)
    state = {'head.a': table, 'head.b': table, 'head.c': table.T, 'head.d': table[1:3]}
    path = tmp_path / 'weights.safetensors'
    path.write_bytes(encode_checkpoint(path, state, {'converted_from': 'nothing'}))
    found = read_checkpoint(path)
    assert all(torch.equal(found[key], state[key]) for key in state)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A published file, and the config of its model."""
    MODELS.register_module(name='ConverterStandIn', module=Network, force=True)
    (tmp_path / 'config.py').write_text("model = dict(type='ConverterStandIn')\n")
    torch.save(wrapped(parallel(official())), tmp_path / 'published.pth')
    monkeypatch.chdir(tmp_path)
    return tmp_path


tool = partial(run_verb, 'convert')


def test_tool_writes_what_mmengine_loads(folder):
    out = folder / 'converted.pth'
    done = tool(folder / 'published.pth', out, '--config', 'config.py')
    assert done.code == 0, done.err
    for word in (
        'layout: TokenPose-T',
        'dropped transformer.pos_embedding: a table of sines',
        'epoch, optimizer',
        f'{out}: 33 keys, load strictly into',
    ):
        assert word in done.out
    left = {path.name for path in folder.iterdir()}
    assert left == {'config.py', 'converted.pth', 'published.pth'}
    net = Network()
    load_checkpoint(net, str(out), map_location='cpu', strict=True)
    published = torch.load(folder / 'published.pth')['state_dict']
    key = 'module.transformer.mlp_head.1.weight'
    assert torch.equal(net.head.heatmap_mlp[1].weight, published[key])
    done = tool('published.pth', 'converted.pth')
    assert done.code == 0, done.err
    assert '33 keys, tried on no model' in done.out


def test_tool_reads_and_writes_safetensors(folder):
    there, back = folder / 'new' / 'there.safetensors', folder / 'back.pth'
    save_file(official(), folder / 'published.safetensors')
    for source, target in [('published.safetensors', there), (there, back)]:
        done = tool(source, target, '--config', 'config.py')
        assert done.code == 0, done.err
    stored = load_file(there)
    assert stored.keys() == Network().state_dict().keys()
    # Today's torch reads both by itself, and so does MMEngine; torch 2.6 does not.
    recent = tuple(map(int, torch.__version__.split('.')[:2])) >= (2, 13)
    for path in (there, back) if recent else (back,):
        net = Network()
        load_checkpoint(net, str(path), map_location='cpu', strict=True)
        for key, value in net.state_dict().items():
            assert torch.equal(stored[key], value)


def test_tool_restores_real_weights(shared, tmp_path):
    """Under MMPose 0.x's names in one format, back in the other, bit by bit."""
    name = 'td-hm_wider-naive-litehrnet-18_dark_8xb64-210e_coco-256x192'
    weights = shared / 'weights/wider_naive_litehrnet18_tinypose_256_192.pth'
    state = read_checkpoint(weights)['state_dict']
    older = {
        f'module.{key.replace("head.", "keypoint_head.", 1)}': value
        for key, value in state.items()
    }
    save_file(older, tmp_path / 'older.safetensors')
    out, config = tmp_path / 'converted.pth', ROOT / f'configs/litehrnet/{name}.py'
    done = tool(tmp_path / 'older.safetensors', out, '--config', config)
    assert done.code == 0, done.err
    assert 'layout: MMPose 0.x' in done.out
    found = torch.load(out)['state_dict']
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


@pytest.mark.parametrize(
    ('source', 'words', 'message'),
    [
        ('broken.pth', (), 'broken.pth is damaged or no checkpoint'),
        ('absent.pth', (), 'absent.pth'),
        ('misfit.pth', ('--config', 'config.py'), r'misfit\.pth: .*head\.position'),
        ('published.pth', ('--config', 'absent.py'), 'absent.py'),
        ('./converted.pth', (), 'OUT is IN'),
    ],
)
def test_tool_refuses_with_one_clear_error(folder, source, words, message):
    (folder / 'broken.pth').write_bytes(b'no checkpoint')
    torch.save(official(sine_table(COLUMNS, ROWS, WIDTH)), folder / 'misfit.pth')
    there = 'converted' in source
    if there:
        torch.save(official(), folder / 'converted.pth')
    done = tool(source, 'converted.pth', *words)
    assert done.code == 2
    assert re.match(rf'(?s)error: .*{message}', done.err)
    assert (folder / 'converted.pth').exists() == there
    assert not there or torch.load(folder / 'converted.pth').keys() == official().keys()
