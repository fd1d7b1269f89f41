"""A searched network's weights rebuild it wherever MMPose loads them."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from command_line import run_tool
from hrnas import SPREAD, TINY, NASPose, upstream_shrink, upstream_weights
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmpose.apis import init_model
from mmpose.registry import MODELS
from parity import own_fill

from mmpose_lite.checkpoints import convert
from mmpose_lite.models.backbones import HRNASNet
from mmpose_lite.models.backbones.hrnas_arch import dump_arch

SPACE = dict(TINY, transformer='residual')


def estimator_cfg(arch=None, space=SPACE):
    """MMPose's own estimator around the backbone."""
    codec = dict(
        type='MSRAHeatmap', input_size=(48, 64), heatmap_size=(12, 16), sigma=2
    )
    return dict(
        type='TopdownPoseEstimator',
        data_preprocessor=dict(type='PoseDataPreprocessor'),
        backbone=dict(type='HRNASNet', arch=arch, space=space, init_cfg=SPREAD),
        head=dict(
            type='HeatmapHead',
            in_channels=TINY['head_channels'],
            out_channels=17,
            deconv_out_channels=None,
            loss=dict(type='KeypointMSELoss', use_target_weight=True),
            decoder=codec,
        ),
        test_cfg=dict(flip_test=False),
    )


def build(cfg):
    init_default_scope('mmpose')
    model = MODELS.build(cfg)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3)
    return model.eval()


def run(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return model(torch.randn(1, 3, 64, 48, generator=generator), None)


def blocks_of(model):
    """The architecture as a config holds it."""
    net = model.backbone
    return dump_arch(net.space, net.arch, None)['blocks']


@pytest.fixture
def shrunk():
    """A model with a dead block, fewer kernels, channels and tokens."""
    torch.manual_seed(0)
    model = build(estimator_cfg())
    for index, (_, block) in enumerate(model.backbone.named_blocks()):
        masks = [torch.rand(n) > 0.4 for n in block.channels]
        masks[0][0], masks[1][:] = True, False
        if index % 4 == 0:
            masks = [torch.zeros_like(mask) for mask in masks]
        tokens = None
        if block.tokens:
            tokens = torch.arange(block.tokens) < index % 3
        block.cut(masks, tokens)
    kinds = [(bool(b.kernels), bool(b.tokens)) for b in model.backbone.arch]
    assert set(kinds) == {(a, b) for a in (True, False) for b in (True, False)}
    return model


@pytest.fixture
def file(shrunk, tmp_path):
    """Its checkpoint, as MMEngine writes it."""
    path = tmp_path / 'epoch_3.pth'
    meta = dict(dataset_meta=dict(dataset_name='toy'), epoch=3)
    torch.save(dict(meta=meta, state_dict=shrunk.state_dict()), path)
    return str(path)


@pytest.mark.parametrize('given', ['nothing', 'list', 'mapping', 'file'])
def test_init_model(shrunk, file, tmp_path, given):
    """With no word of the architecture, and with it in every form."""
    header = dump_arch(shrunk.backbone.space, shrunk.backbone.arch, (48, 64))
    path = tmp_path / 'arch.json'
    path.write_text(json.dumps(header))
    forms = dict(nothing=None, list=header['blocks'], mapping=header, file=str(path))
    space = SPACE if given in ('nothing', 'list') else None
    cfg = Config(dict(model=estimator_cfg(forms[given], space)))
    model = init_model(cfg, file, device='cpu')
    assert model.backbone.arch == shrunk.backbone.arch
    assert model.backbone.is_searched == (given != 'nothing')
    assert model.backbone.space == shrunk.backbone.space
    assert torch.equal(run(model), run(shrunk))
    assert not any(module.training for module in model.modules())


def test_mmengine_loads_parallel_weights_strictly(shrunk, file, tmp_path):
    path = tmp_path / 'parallel.pth'
    state = {f'module.{key}': value for key, value in shrunk.state_dict().items()}
    torch.save(dict(state_dict=state), path)
    model = build(estimator_cfg())
    load_checkpoint(model, str(path), map_location='cpu', strict=True)
    assert torch.equal(run(model), run(shrunk))


def test_a_searched_network_is_the_shrunk_one(shrunk):
    """Same class, same keys in the same order, same outputs."""
    searched = build(estimator_cfg(blocks_of(shrunk)))
    assert list(searched.state_dict()) == list(shrunk.state_dict())
    names = [name for name, _ in shrunk.named_parameters()]
    assert [name for name, _ in searched.named_parameters()] == names
    searched.load_state_dict(shrunk.state_dict(), strict=True)
    assert torch.equal(run(searched), run(shrunk))
    assert repr(searched.backbone.arch) == repr(shrunk.backbone.arch)


def test_there_and_back(shrunk):
    """A network that had shrunk takes on the supernet's weights again."""
    full = build(estimator_cfg())
    expected = run(full)
    shrunk.load_state_dict(full.state_dict(), strict=True)
    assert torch.equal(run(shrunk), expected)
    assert list(shrunk.state_dict()) == list(full.state_dict())
    names = [name for name, _ in full.named_parameters()]
    assert [name for name, _ in shrunk.named_parameters()] == names


def test_contradiction_names_both(shrunk, file):
    blocks = copy.deepcopy(blocks_of(shrunk))
    index = next(i for i, block in enumerate(blocks) if block[4])
    name, _ = shrunk.backbone.named_blocks()[index]
    was = blocks[index][4][0]
    blocks[index][4][0] += 1
    cfg = Config(dict(model=estimator_cfg(blocks)))
    both = (
        rf'(?s)in 1 blocks:.*backbone\.{name}: config BlockArch\(.*channels=\({was + 1}'
        rf'.*weights BlockArch\(.*channels=\({was}\D'
    )
    with pytest.raises(ValueError, match=both):
        init_model(cfg, file, device='cpu')


def test_weights_of_other_models_change_nothing(shrunk):
    """Only weights of every block tell an architecture."""
    model = build(estimator_cfg())
    before = model.backbone.arch
    state = shrunk.state_dict()
    head = {key: value for key, value in state.items() if key.startswith('head.')}
    assert model.load_state_dict(head, strict=False).missing_keys
    assert model.backbone.arch == before
    state.pop(next(key for key in state if 'transform.residual' in key))
    with pytest.raises(RuntimeError, match=r'Missing key.*transform\.residual'):
        model.load_state_dict(state, strict=True)
    partial = {key: v for key, v in shrunk.state_dict().items() if '.rows.' not in key}
    before = build(estimator_cfg())
    with pytest.raises(RuntimeError, match='size mismatch'):
        before.load_state_dict(partial, strict=False)
    assert before.backbone.arch == build(estimator_cfg()).backbone.arch


def test_a_copy_takes_on_shapes_for_itself(shrunk):
    model = build(estimator_cfg())
    before = model.backbone.arch
    twin = copy.deepcopy(model)
    twin.load_state_dict(shrunk.state_dict(), strict=True)
    assert twin.backbone.arch == shrunk.backbone.arch
    assert model.backbone.arch == before
    assert torch.equal(run(twin), run(shrunk))


def test_training_state_survives_loading(shrunk):
    """Mode, dtype, frozen norms and the parameters that an optimizer may hold."""
    net = HRNASNet(space=SPACE, norm_eval=True, init_cfg=SPREAD).double().train()
    held = dict(net.named_parameters())
    state = {
        key.removeprefix('backbone.'): value
        for key, value in shrunk.state_dict().items()
        if key.startswith('backbone.')
    }
    net.load_state_dict(state, strict=True)
    # Tensors of a kernel size that stays are the same objects, whatever their index.
    known = {id(parameter) for parameter in held.values()}
    kept = [p for p in net.parameters() if id(p) in known]
    assert len(kept) == len(list(net.parameters()))
    assert {p.dtype for p in net.parameters()} == {torch.double}
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    blocks = [block for _, block in net.named_blocks()]
    assert all(block.training for block in blocks)
    assert all(op.training for block in blocks for op in block.ops)


# --- upstream's files ---

BLOCK = {
    'weight': lambda n: (n,),
    'bias': lambda n: (n,),
    'running_mean': lambda n: (n,),
    'running_var': lambda n: (n,),
    'num_batches_tracked': lambda n: (),
}


def upstream_shapes(net):
    """What upstream would call the parts of a network without transformers."""
    shapes = {}

    def norm(name, width):
        for leaf, shape in BLOCK.items():
            shapes[f'{name}.{leaf}'] = shape(width)

    def conv(name, *shape):
        shapes[f'{name}.weight'] = shape

    for index in (0, 1):
        layer = net.stem[index].conv
        conv(f'downsamples.{index}.0', layer.out_channels, layer.in_channels, 3, 3)
        norm(f'downsamples.{index}.1', layer.out_channels)
    for (ours, block), place in zip(net.named_blocks(), net.places, strict=True):
        name = upstream_name(ours, len(net.space.channels))
        if block.residual is not None:
            conv(f'{name}.residual', place.out_channels, place.group_width, 1, 1)
        for op, (kernel, width) in enumerate(
            zip(block.kernels, block.channels, strict=True)
        ):
            conv(f'{name}.ops.{op}.0.0', width, place.in_channels, 1, 1)
            norm(f'{name}.ops.{op}.0.1', width)
            conv(f'{name}.ops.{op}.1.0', width, 1, kernel, kernel)
            norm(f'{name}.ops.{op}.1.1', width)
            conv(f'{name}.ops.{op}.2', place.out_channels, width, 1, 1)
            norm(f'{name}.bns.{op}', width)
        norm(f'{name}.pw_bn', place.out_channels)
    conv('classifier', 17, net.space.head_channels, 1, 1)
    shapes['classifier.bias'] = (17,)
    return shapes


def upstream_name(ours, stages):
    """Upstream's name of a block of ours."""
    parts = ours.split('.')
    if 'rows' in parts:
        _, module, _, row, source = parts
        tail = '' if row == source else '.0'
        return f'features.{module}.fuse_layers.{row}.{source}{tail}'
    if 'grown' in parts:
        module = int(parts[1])
        return f'features.{module}.fuse_layers.{module // 2}.0'
    return ours


@pytest.fixture
def upstream():
    """Weights of a small supernet, a seventh of the channels silent, one block dead."""
    shapes = upstream_shapes(HRNASNet(space=TINY))

    def fill(key, shape, dtype):
        kind = torch.int64 if dtype == 'int64' else torch.float32
        return own_fill(key, shape, kind).astype(dtype)

    weights = upstream_weights(shapes, fill)
    for key in [key for key in weights if key.endswith('.1.1.weight')]:
        if '.ops.' in key:
            weights[key][::7] = 0
            if key.startswith('features.3.branches.1.0.'):
                weights[key][:] = 0
    return weights


def test_upstream_supernet_and_shrunk_weights(upstream):
    net = NASPose(space=TINY)
    net.load_state_dict(convert(upstream, net), strict=True)
    shrunk = upstream_shrink(upstream)
    other = NASPose(space=TINY)
    converted = convert(shrunk, other)
    assert other.backbone.arch == net.backbone.arch  # the model is left as it is
    other.load_state_dict(converted, strict=True)
    assert other.backbone.arch != net.backbone.arch
    dead = [name for name, block in other.backbone.named_blocks() if not block.ops]
    assert dead == ['features.3.branches.1.0']
    blocks = dump_arch(other.backbone.space, other.backbone.arch, None)['blocks']
    searched = NASPose(blocks, TINY)
    searched.load_state_dict(convert(shrunk, searched), strict=True)
    image = torch.randn(1, 3, 64, 48)
    with torch.no_grad():
        assert torch.equal(searched.eval()(image), other.eval()(image))


def test_a_key_that_lacks_or_is_too_many(upstream):
    """Also in files that were cut short somewhere."""
    net = NASPose(space=TINY)
    lacking = {k: v for k, v in upstream.items() if k != 'transform.pw_bn.bias'}
    with pytest.raises(ValueError, match=r'1 missing.*\n.*transform\.pw_bn\.bias'):
        convert(lacking, net)
    lacking = {k: v for k, v in upstream.items() if not k.endswith('.pw_bn.bias')}
    with pytest.raises(ValueError, match=r'\d+ missing'):
        convert(upstream_shrink(lacking), net)
    with pytest.raises(ValueError, match=r'leaves 1 keys over.*\n.*ops\.0\.3\.weight'):
        convert({**upstream, 'transform.ops.0.3.weight': torch.ones(1)}, net)
    grown = {**upstream, 'features.2.fuse_layers.1.0.pw_bn.weight': torch.ones(9)}
    with pytest.raises(ValueError, match=r'another shape.*expected \(6,\).*\(9,\)'):
        convert(grown, net)


def test_command_line_converts_a_shrunk_network(upstream, tmp_path):
    source, target, config = (tmp_path / name for name in ('a.pth', 'b.pth', 'c.py'))
    shrunk = {f'module.{k}': v for k, v in upstream_shrink(upstream).items()}
    torch.save(shrunk, source)
    config.write_text(f'model = {estimator_cfg(None, TINY)!r}\n')
    said = run_tool('convert_checkpoint', source, target, '--config', config)
    assert 'layout: HR-NAS' in said
    assert 'lost all its convolutions' in said
    assert 'load strictly into' in said
    model = build(estimator_cfg(None, TINY))
    load_checkpoint(model, str(target), map_location='cpu', strict=True)
    net = NASPose(space=TINY).eval()
    net.load_state_dict(convert(shrunk, net), strict=True)
    image = torch.randn(1, 3, 64, 48)
    with torch.no_grad():
        assert torch.equal(model(image, None), net(image))
