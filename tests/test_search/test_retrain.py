"""What a search found, as files: a config of a few lines, weights, architecture."""

from __future__ import annotations

import copy
import json

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import pytest
import torch
from command_line import mim
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.apis import init_model
from mmpose.registry import MODELS

from mmpose_lite.checkpoints import read_checkpoint
from mmpose_lite.cli import main
from mmpose_lite.data import generate_toy_coco
from mmpose_lite.io.files import part_name
from mmpose_lite.models.backbones.hrnas_arch import (
    BlockArch,
    dump_arch,
    full_arch,
    read_arch,
    resolve_space,
)
from mmpose_lite.search import extent, retrain, write_retraining
from mmpose_lite.search.retrain import architecture_of, read_config_text, search_result

TINY = dict(
    num_blocks=((1,), (1, 1)),
    channels=((8,), (8, 16)),
    stem_channels=(8, 8),
    head_channels=16,
    expand=2,
    transformer='all',
    tokens=4,
)
WIDTH, HEIGHT = 48, 64
SEARCH = ROOT / 'configs/hrnas/td-hm_hrnas-mini_1xb16-6e_toy-128x96.py'


def search_config(data_root, space=TINY):
    """Config of a search as MMEngine has it when it saves."""
    config = Config.fromfile(SEARCH)
    codec = dict(type='MSRAHeatmap', input_size=(WIDTH, HEIGHT), heatmap_size=(12, 16))
    codec['sigma'] = 1
    model = config.model
    model.resource = dict(input_size=(WIDTH, HEIGHT), target=dict(macs=1.5e6))
    model.backbone = dict(type='mmpose_lite.HRNASNet', space=space)
    model.head.update(decoder=codec, loss=dict(type='KeypointMSELoss'))
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.update(batch_size=4, num_workers=0, persistent_workers=False)
        loader.dataset.data_root = f'{data_root}/'
        for step in loader.dataset.pipeline:
            if 'input_size' in step:
                step.input_size = codec['input_size']
            if 'encoder' in step:
                step.encoder = codec
    config.test_dataloader = config.val_dataloader
    ann_file = f'{data_root}/annotations/person_keypoints_val.json'
    config.val_evaluator.ann_file = config.test_evaluator.ann_file = ann_file
    config.train_cfg = dict(max_epochs=2, val_interval=2, by_epoch=True)
    config.param_scheduler = []
    config.work_dir = 'where/the/search/ran'
    config.load_from = 'what/the/search/began/with.pth'
    return config


def shrunk(config):
    """A pose estimator of a search whose blocks lost parts, with lively norms."""
    torch.manual_seed(0)
    init_default_scope('mmpose')
    model = MODELS.build(copy.deepcopy(config.model))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean):
                torch.nn.init.normal_(value)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    blocks = [block for _, block in model.backbone.named_blocks()]
    for index, block in enumerate(blocks):
        masks = [torch.rand(n) < 0.6 for n in block.channels]
        tokens = torch.rand(block.tokens) < 0.6 if block.tokens else None
        if index == 1:  # a kernel size dies
            masks[1][:] = False
        elif index == 3:  # a block dies
            masks = [torch.zeros_like(mask) for mask in masks]
            tokens = None if tokens is None else torch.zeros_like(tokens)
        block.cut(masks, tokens)
    return model


def checkpoint_of(config, **meta):
    model = shrunk(config)
    net = model.backbone
    return dict(
        state_dict=model.state_dict(),
        ema_state_dict={'steps': torch.tensor(7)},
        optimizer=dict(state={}, param_groups=[dict(lr=1e-3)]),
        meta=dict(
            cfg=config.pretty_text,
            epoch=2,
            iter=30,
            seed=5,
            time='20260102_030405',
            experiment_name='td-hm_hrnas-supernet_64x48_20260102_030000',
            hrnas_arch=dump_arch(net.space, net.arch, (WIDTH, HEIGHT)),
            **meta,
        ),
    )


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    out = tmp_path_factory.mktemp('toy')
    generate_toy_coco(out, num_train=8, num_val=4, image_size=(160, 120), seed=3)
    return out


@pytest.fixture(scope='module')
def checkpoint(toy):
    return checkpoint_of(search_config(toy))


@pytest.fixture
def source(checkpoint, tmp_path):
    path = tmp_path / 'epoch_2.pth'
    torch.save(checkpoint, path)
    return path


def saved(path, checkpoint, **changes):
    torch.save({**checkpoint, **changes}, path)
    return path


NAME = 'td-hm_hrnas-searched_64x48'


def test_the_verb(checkpoint, source, tmp_path, capsys):
    out = tmp_path / 'new' / 'searched'
    left_behind = tmp_path / part_name('new').replace('.part', '1.part')
    left_behind.mkdir()  # by a process that was killed
    assert main(['retrain', str(source), str(out)]) == 0
    assert not left_behind.exists()
    files = {path.relative_to(out).as_posix() for path in out.rglob('*.*')}
    assert files == {f'{NAME}.py', f'{NAME}.pth', 'arch.json', '_base_/search.py'}
    assert [path.name for path in out.parent.iterdir()] == ['searched']
    rows = [line.split('|')[1:-1] for line in capsys.readouterr().out.splitlines()]
    rows = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows if row}
    net = shrunk(search_config('unused')).backbone
    left = sum(sum(block.channels) for block in net.arch)
    full = full_arch(net.space)
    assert sum(int(rows[f'channels {k}x{k}'][1]) for k in (3, 5, 7)) == left
    assert rows['channels 3x3'][0] == str(sum(block.channels[0] for block in full))
    assert rows['queries'][:2] == ['28', str(sum(b.tokens for b in net.arch))]
    assert rows['blocks'] == ['7', '6', '85.7%']

    text = (out / f'{NAME}.py').read_text()
    assert 'td-hm_hrnas-supernet_64x48: averaged weights of epoch_2.pth' in text
    assert '2 epochs, 30 iterations, seed 5, saved 20260102_030405' in text
    assert 'macs = 1.5e+06' in text
    config = Config.fromfile(out / f'{NAME}.py')
    hooks = [hook['type'] for hook in config.custom_hooks]
    names = ('CheckFitHook', 'DataGuardHook', 'EpochSeedHook')
    assert hooks == ['SyncBuffersHook', *(f'mmpose_lite.{name}' for name in names)]
    assert not {'work_dir', 'load_from'} & set(config)
    assert config.model.backbone.arch == f'{out}/arch.json'
    same = search_config('anywhere')
    for part in ('optim_wrapper', 'train_cfg', 'param_scheduler', 'default_hooks'):
        assert config[part] == same[part]
    stored = read_checkpoint(out / f'{NAME}.pth')
    assert set(stored) == {'state_dict', 'meta'}
    assert stored['meta']['hrnas_arch'] == checkpoint['meta']['hrnas_arch']
    assert read_arch(out / 'arch.json') == checkpoint['meta']['hrnas_arch']
    model = init_model(config, str(out / f'{NAME}.pth'), device='cpu')
    assert model.backbone.is_searched
    assert model.backbone.arch == net.arch
    heir = tmp_path / 'heir.py'
    heir.write_text(f"_base_ = ['{out}/{NAME}.py']\ntrain_cfg = dict(max_epochs=7)\n")
    assert Config.fromfile(heir).model == Config.fromfile(out / f'{NAME}.py').model


def test_a_found_network_economises_nothing(source, tmp_path):
    made = write_retraining(source, tmp_path / 'out')
    model = MODELS.build(Config.fromfile(made.config).model)
    assert not model.is_search
    losses = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(model).__mro__[1], 'loss', lambda *_: dict(loss_kpt=1))
        losses = model.loss(None, [])
    assert losses == dict(loss_kpt=1)


def test_what_was_written_can_be_written_again(source, tmp_path):
    """Its shapes alone suffice, with its config."""
    first = write_retraining(source, tmp_path / 'first')
    bare = saved(
        tmp_path / 'bare.pth', dict(state_dict=read_checkpoint(source)['state_dict'])
    )
    second = write_retraining(bare, tmp_path / 'second', first.config, 'again')
    assert second.config.name == 'again.py'
    assert second.arch.read_bytes() == first.arch.read_bytes()
    assert (second.before, second.after) == (first.before, first.after)
    for path in (source, first.weights):
        assert architecture_of(read_checkpoint(path)) == read_arch(first.arch)


def test_weights_of_the_supernet_are_not_loaded(toy, tmp_path):
    config = search_config(toy)
    config.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='super.pth')
    source = saved(tmp_path / 'a.pth', checkpoint_of(config))
    made = write_retraining(source, tmp_path / 'out')
    assert 'init_cfg' not in Config.fromfile(made.config).model.backbone


def test_a_latency_table_may_be_elsewhere(toy, tmp_path):
    config = search_config(toy)
    source = checkpoint_of(config)
    config.model.resource = dict(input_size=(WIDTH, HEIGHT), cost='elsewhere.json')
    source['meta']['cfg'] = config.pretty_text
    write_retraining(saved(tmp_path / 'a.pth', source), tmp_path / 'out')


def test_failure_leaves_nothing_behind(source, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'deep' / 'out'
    with monkeypatch.context() as patched:
        patched.setattr(retrain, 'TOLERANCE', -1)
        with pytest.raises(SystemExit):
            main(['retrain', str(source), str(out)])
    assert 'its outputs differ' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]
    out.mkdir(parents=True)
    write_retraining(source, out, name='net')
    before = {path.name: path.read_bytes() for path in out.glob('*.*')}
    assert 'net.py' in before
    with pytest.raises(ValueError, match='new or an empty folder'):
        write_retraining(source, out)
    assert {path.name: path.read_bytes() for path in out.glob('*.*')} == before
    with pytest.raises(ValueError, match='file name'):
        write_retraining(source, tmp_path / 'x', name='../net')
    with pytest.raises(OSError, match='nowhere'):
        write_retraining(tmp_path / 'nowhere.pth', tmp_path / 'x')


def test_outputs_that_are_not_finite_compare_nothing(checkpoint, tmp_path):
    weights = dict(checkpoint['state_dict'])
    key = 'backbone.stem.0.conv.weight'
    weights[key] = torch.full_like(weights[key], 1e38)
    source = saved(tmp_path / 'a.pth', checkpoint, state_dict=weights)
    with pytest.raises(ValueError, match='not finite'):
        write_retraining(source, tmp_path / 'out')


def test_contradictions_name_both_sides(checkpoint, toy, tmp_path):
    meta = checkpoint['meta']
    wrong = json.loads(json.dumps(meta['hrnas_arch']))
    block = next(b for b in wrong['blocks'] if b[4])
    found, block[4][0] = block[4][0], block[4][0] + 1
    lie = dict(checkpoint, meta=dict(meta, hrnas_arch=wrong))
    for read in (search_result, architecture_of):
        with pytest.raises(
            ValueError, match=rf'in 1 blocks(.|\n)+{found}.+{found + 1}'
        ):
            read(lie)
    other = tmp_path / 'other.py'
    other.write_text(search_config(toy, dict(TINY, expand=1)).pretty_text)
    with pytest.raises(ValueError, match=r'channels must be a list, .* at most'):
        search_result(checkpoint, other)
    config = search_config(toy)
    config.model.head.decoder.input_size = (96, 128)
    other.write_text(config.pretty_text)
    with pytest.raises(ValueError, match=r'\(48, 64\) .+\(96, 128\)'):
        search_result(checkpoint, other)


def test_what_is_no_search_is_refused(checkpoint, tmp_path):
    weights = checkpoint['state_dict']
    with pytest.raises(ValueError, match="name the search's config"):
        search_result(dict(state_dict=weights))
    with pytest.raises(ValueError, match='no state_dict'):
        search_result(dict(meta=checkpoint['meta']))
    foreign = {'head.' + key: value for key, value in weights.items()}
    with pytest.raises(ValueError, match='not every block'):
        search_result(dict(checkpoint, state_dict=foreign))
    with pytest.raises(ValueError, match='more'):
        search_result(dict(checkpoint, state_dict=dict(weights, more=torch.zeros(1))))
    text = checkpoint['meta']['cfg']
    other = text.replace('SearchablePoseEstimator', 'Other')
    with pytest.raises(ValueError, match=r'cannot be built.*Other'):
        search_result(dict(checkpoint, meta=dict(cfg=other)))
    config = search_config('nowhere')
    head = config.model.head.to_dict()
    config.model = dict(
        type='TopdownPoseEstimator', backbone=dict(type='ResNet', depth=18), head=head
    )
    path = tmp_path / 'other.py'
    path.write_text(config.pretty_text)
    with pytest.raises(ValueError, match='must be an HRNASNet, got ResNet'):
        search_result(checkpoint, path)


def test_text_of_configs_is_read_without_running_it():
    text = "a = dict(b=[1, (2.5, -3)], c={'x-y': None, 3: {'z'}})\nd = dict()"
    assert read_config_text(text) == {
        'a': {'b': [1, (2.5, -3)], 'c': {'x-y': None, 3: {'z'}}},
        'd': {},
    }
    for line in (
        'import os',
        "a = __import__('os')",
        'a = dict(b=print(1))',
        'a = dict(**b)',
        'a = {**b}',
        'a.b = 1',
        'a, b = 1, 2',
        'a = b',
        "a = f'{b}'",
    ):
        with pytest.raises(ValueError, match='line 2'):
            read_config_text(f'x = 1\n{line}\n')
    with pytest.raises(ValueError, match='no Python'):
        read_config_text('a =')


def test_comment_cannot_be_left():
    evil = 'x\nraise SystemExit("run")\r\nmore\x0cand\u2028more'
    first = retrain.format_config([evil]).split('\n')[0]
    assert first == '# x raise SystemExit("run") more and more'


def test_blocks_without_anything_are_not_in_use():
    arch = [BlockArch((), ()), BlockArch((), (), 2), BlockArch((3, 7), (1, 2))]
    space = resolve_space(TINY)
    found = {'channels 3x3': 1, 'channels 5x5': 0, 'channels 7x7': 2}
    assert extent(space, arch) == {**found, 'blocks': 2, 'queries': 2}


@pytest.mark.slow
def test_retraining_and_testing_by_mim(source, tmp_path):
    made = write_retraining(source, tmp_path / 'out')
    weights = str(made.weights)
    log = mim('test', made.config, tmp_path / 'test', '--checkpoint', weights)
    assert 'coco/AP' in log
    options = dict(train_cfg__max_epochs=1, load_from=weights)
    log = mim('train', made.config, tmp_path / 'train', **options)
    assert 'coco/AP' in log
    trained = read_checkpoint(tmp_path / 'train' / 'epoch_1.pth')['state_dict']
    expected = read_checkpoint(source)['state_dict']
    assert {k: v.shape for k, v in trained.items()} == {
        k: v.shape for k, v in expected.items()
    }
