"""A searched network's weights rebuild it wherever MMPose loads them."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from hrnas import SPREAD, TINY
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmpose.apis import init_model
from mmpose.registry import MODELS
from search_run import model_cfg

from mmpose_lite.models.backbones import HRNASNet
from mmpose_lite.models.backbones.hrnas_arch import dump_arch

SPACE = dict(TINY, transformer='residual')


def estimator_cfg(arch=None, space=SPACE):
    """MMPose's own estimator around the backbone."""
    cfg = model_cfg()
    del cfg['resource']
    backbone = dict(type='HRNASNet', arch=arch, space=space, init_cfg=SPREAD)
    return dict(cfg, type='TopdownPoseEstimator', backbone=backbone)


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
