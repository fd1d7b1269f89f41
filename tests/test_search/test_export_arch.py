"""What a search found, exported: a config that stands alone, weights, architecture."""

from __future__ import annotations

import json
import subprocess
import sys

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import numpy as np
import pytest
import torch
from command_line import mim
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.apis import init_model
from mmpose.registry import MODELS

from mmpose_lite.checkpoints import read_checkpoint
from mmpose_lite.data import generate_toy_coco
from mmpose_lite.models.backbones.hrnas_arch import (
    BlockArch,
    dump_arch,
    full_arch,
    read_arch,
)
from mmpose_lite.search import export, export_check, export_report, retraining
from mmpose_lite.search.config_text import (
    difference,
    format_assignment,
    read_config_text,
)
from mmpose_lite.search.result import search_result

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


def search_config(data_root, space=TINY):
    """Config of a search as MMEngine has it when it saves."""
    codec = dict(
        type='MSRAHeatmap', input_size=(WIDTH, HEIGHT), heatmap_size=(12, 16), sigma=1
    )
    steps = [dict(type=name) for name in ('LoadImage', 'GetBBoxCenterScale')]
    crop = [*steps, dict(type='TopdownAffine', input_size=codec['input_size'])]
    train = [*crop, dict(type='GenerateTarget', encoder=codec)]
    pack = [dict(type='PackPoseInputs')]

    def loader(split, pipeline, **options):
        dataset = dict(
            type='CocoDataset',
            data_root=f'{data_root}/',
            ann_file=f'annotations/person_keypoints_{split}.json',
            data_prefix=dict(img=f'{split}/'),
            pipeline=pipeline,
            **options,
        )
        sampler = dict(type='DefaultSampler', shuffle=split == 'train')
        return dict(batch_size=4, num_workers=0, sampler=sampler, dataset=dataset)

    val = loader('val', [*crop, *pack], test_mode=True)
    evaluator = dict(
        type='CocoMetric',
        ann_file=f'{data_root}/annotations/person_keypoints_val.json',
    )
    values = dict(
        _base_=['mmpose::_base_/default_runtime.py'],
        custom_imports=dict(imports=['mmpose_lite'], allow_failed_imports=False),
        train_cfg=dict(max_epochs=2, val_interval=2),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=2e-3)),
        param_scheduler=[],
        randomness=dict(seed=0),
        default_hooks=dict(checkpoint=dict(save_best='coco/AP', rule='greater')),
        custom_hooks=[
            dict(type='SyncBuffersHook'),
            dict(type='mmpose_lite.PenaltyHook', weight=1e-4),
            dict(type='mmpose_lite.ShrinkHook', interval=1),
            dict(type='mmpose_lite.BNRecalibrationHook'),
            dict(type='EMAHook', ema_type='mmpose_lite.RampedAverage'),
            dict(type='mmpose_lite.EpochSeedHook'),
        ],
        model=dict(
            type='mmpose_lite.SearchablePoseEstimator',
            resource=dict(input_size=codec['input_size'], target=dict(macs=1.5e6)),
            data_preprocessor=dict(
                type='PoseDataPreprocessor',
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                bgr_to_rgb=True,
            ),
            backbone=dict(type='mmpose_lite.HRNASNet', space=space),
            head=dict(
                type='HeatmapHead',
                in_channels=16,
                out_channels=17,
                deconv_out_channels=None,
                loss=dict(type='KeypointMSELoss', use_target_weight=True),
                decoder=codec,
            ),
            test_cfg=dict(flip_test=False),
        ),
        train_dataloader=loader('train', [*train, *pack]),
        val_dataloader=val,
        test_dataloader=val,
        val_evaluator=evaluator,
        test_evaluator=evaluator,
        work_dir='where/the/search/ran',
        load_from='what/the/search/began/with.pth',
    )
    text = '\n'.join(f'{key} = {value!r}' for key, value in values.items())
    return Config.fromstring(text, '.py')


def shrunk(config):
    """A pose estimator of a search whose blocks lost parts, with lively norms."""
    torch.manual_seed(0)
    init_default_scope('mmpose')
    plain = retraining.retraining_config(
        config.to_dict(), dict(space=config.model.backbone.space)
    )
    model = MODELS.build(Config(plain).model)
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


def call(*arguments):
    """Run the tool as users do."""
    return subprocess.run(
        [sys.executable, '-W', 'ignore', 'tools/export_arch.py', *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.slow
def test_export_by_command_line(checkpoint, tmp_path):
    source, out = tmp_path / 'epoch_2.pth', tmp_path / 'new' / 'export'
    torch.save(checkpoint, source)
    done = call(source, out)
    assert done.returncode == 0, done.stdout + done.stderr
    name = 'td-hm_hrnas-searched_64x48'
    files = {path.name for path in out.iterdir()}
    assert files == {f'{name}.py', f'{name}.pth', 'arch.json'}
    assert [path.name for path in out.parent.iterdir()] == ['export']
    assert 'random images (2): bitwise equal' in done.stdout
    assert 'real images (4): bitwise equal' in done.stdout
    net = shrunk(search_config('unused')).backbone
    left = sum(sum(block.channels) for block in net.arch)
    rows = dict(
        line.split('|') for line in done.stdout.splitlines() if line.count('|') == 1
    )
    rows = {key.strip(): value.split() for key, value in rows.items()}
    full = full_arch(net.space)
    assert sum(int(rows[f'channels {k}x{k}'][1]) for k in (3, 5, 7)) == left
    assert rows['channels 3x3'][0] == str(sum(block.channels[0] for block in full))
    assert rows['queries'][:2] == ['28', str(sum(b.tokens for b in net.arch))]
    assert rows['blocks in use'] == ['7', '6', '85.7%']

    text = (out / f'{name}.py').read_text()
    assert 'td-hm_hrnas-supernet_64x48: averaged weights of epoch_2.pth' in text
    assert '2 epochs, 30 iterations, seed 5, saved 2026-01-02 03:04:05' in text
    assert 'macs = 1.5e+06' in text
    config = Config.fromfile(out / f'{name}.py')
    assert config.model.type == 'TopdownPoseEstimator'
    hooks = [hook['type'] for hook in config.custom_hooks]
    assert hooks == ['SyncBuffersHook', 'mmpose_lite.EpochSeedHook']
    assert config.load_from is None
    assert 'work_dir' not in config
    assert read_arch(out / 'arch.json')['blocks'] == config.model.backbone.arch
    stored = read_checkpoint(out / f'{name}.pth')
    assert set(stored) == {'state_dict', 'meta'}
    assert stored['meta']['hrnas_arch'] == checkpoint['meta']['hrnas_arch']
    model = init_model(config, str(out / f'{name}.pth'), device='cpu')
    assert model.backbone.is_searched
    assert model.backbone.arch == net.arch


@pytest.mark.slow
def test_refusals_of_the_command_line(checkpoint, tmp_path):
    source, out = tmp_path / 'epoch_2.pth', tmp_path / 'out'
    wrong = {**checkpoint['meta']['hrnas_arch'], 'input_size': [1, 2]}
    torch.save(
        dict(checkpoint, meta=dict(checkpoint['meta'], hrnas_arch=wrong)), source
    )
    for path, message in ((source, 'input_size'), ('nowhere.pth', 'nowhere.pth')):
        done = call(path, out)
        assert done.returncode == 1
        assert done.stderr.startswith('error: ')
        assert message in done.stderr
        assert list(tmp_path.iterdir()) == [source]


def test_an_export_can_be_exported_and_read_again(checkpoint, tmp_path):
    """Shapes alone suffice; what is written says the same as what was read."""
    bare = dict(state_dict=checkpoint['state_dict'])
    config = read_config_text(checkpoint['meta']['cfg'])
    result = search_result(bare, config)
    with export.exported(result, tmp_path / 'first', 'first', ['once']) as files:
        first = Config.fromfile(files.config).to_dict()
    again = search_result(bare, first)
    with export.exported(again, tmp_path / 'second', 'second', ['twice']) as files:
        second = Config.fromfile(files.config).to_dict()
        images = torch.rand(1, 3, HEIGHT, WIDTH)
        networks = (
            export_check.searched_network(result),
            (export_check.exported_network(files)),
        )
        assert export_check.relative_difference(*networks, images) == 0
    assert first == second


def test_long_architectures_lie_beside_the_config(tmp_path):
    space = dict(TINY, num_blocks=((2,), (12, 12)))
    result = search_result(checkpoint_of(search_config('nowhere', space)))
    assert len(result.arch) > export.SHORT
    with export.exported(result, tmp_path / 'out', 'long', []):
        pass
    config = Config.fromfile(tmp_path / 'out' / 'long.py')
    assert config.model.backbone.arch == f'{tmp_path}/out/arch.json'
    assert 'space' not in config.model.backbone
    assert MODELS.build(config.model).backbone.arch == result.arch
    heir = tmp_path / 'heir.py'
    heir.write_text("_base_ = ['out/long.py']\ntrain_cfg = dict(max_epochs=7)\n")
    assert Config.fromfile(heir).model == config.model


def fail_after_export(result, out):
    with export.exported(result, out, 'net', []) as files:
        assert files.weights.is_file()
        raise ValueError('not equal')


def test_failure_leaves_nothing_behind(checkpoint, tmp_path):
    result = search_result(checkpoint)
    out = tmp_path / 'deep' / 'out'
    with pytest.raises(ValueError, match='not equal'):
        fail_after_export(result, out)
    assert list(tmp_path.iterdir()) == []
    out.mkdir(parents=True)
    with export.exported(result, out, 'net', []):
        assert list(out.iterdir()) == []
    assert (out / 'net.py').is_file()
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with (
        pytest.raises(ValueError, match='new or an empty folder'),
        export.exported(result, out, 'other', []),
    ):
        pass
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    with (
        pytest.raises(ValueError, match='file name'),
        export.exported(result, tmp_path / 'x', '../net', []),
    ):
        pass


def test_a_network_that_differs_is_seen(checkpoint):
    result = search_result(checkpoint)
    first, second = (export_check.searched_network(result) for _ in range(2))
    images = torch.rand(1, 3, HEIGHT, WIDTH)
    assert export_check.relative_difference(first, second, images) == 0
    with torch.no_grad():
        second.backbone.transform.residual.weight[0] *= 1.01
    found = export_check.relative_difference(first, second, images)
    assert found > export_check.TOLERANCE
    with torch.no_grad():
        first.backbone.stem[0].conv.weight[:] = np.inf
    with pytest.raises(ValueError, match='not finite'):
        export_check.relative_difference(first, second, images)


def test_contradictions_name_both_sides(checkpoint, toy):
    meta = checkpoint['meta']
    wrong = json.loads(json.dumps(meta['hrnas_arch']))
    block = next(b for b in wrong['blocks'] if b[4])
    found, block[4][0] = block[4][0], block[4][0] + 1
    with pytest.raises(ValueError, match=rf'in 1 blocks(.|\n)+{found + 1}.+{found}'):
        search_result(dict(checkpoint, meta=dict(meta, hrnas_arch=wrong)))
    other = search_config(toy, dict(TINY, tokens=5)).to_dict()
    with pytest.raises(ValueError, match='tokens is 4 and 5'):
        search_result(checkpoint, other)
    other = search_config(toy).to_dict()
    other['model']['head']['decoder']['input_size'] = (96, 128)
    with pytest.raises(ValueError, match=r'\(48, 64\) .+\(96, 128\)'):
        search_result(checkpoint, other)


def test_what_is_no_search_is_refused(checkpoint):
    weights = checkpoint['state_dict']
    with pytest.raises(ValueError, match="name the search's config"):
        search_result(dict(state_dict=weights))
    with pytest.raises(ValueError, match='no state_dict'):
        search_result(dict(meta=checkpoint['meta']))
    foreign = {'head.' + key: value for key, value in weights.items()}
    with pytest.raises(ValueError, match='not every block'):
        search_result(dict(checkpoint, state_dict=foreign))
    with pytest.raises(ValueError, match='HRNASNet'):
        retraining.retraining_config(
            dict(model=dict(backbone=dict(type='ResNet'))), dict(arch=[])
        )
    fat = dict(weights, more=torch.zeros(1))
    with pytest.raises(ValueError, match='more'):
        export_check.searched_network(search_result(dict(checkpoint, state_dict=fat)))


def test_text_of_configs_is_read_without_running_it():
    text = "a = dict(b=[1, (2.5, -inf)], c=dict({'x-y': None, 3: {'z'}}))\nd = 'e'"
    assert read_config_text(text) == {
        'a': {'b': [1, (2.5, -np.inf)], 'c': {'x-y': None, 3: {'z'}}},
        'd': 'e',
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


@pytest.mark.parametrize(
    'value',
    [
        dict(type='A', b=[1, 2], c=(1,), d={}, e=[], f=None, g=1e-6),
        {'not an identifier': 1, 'class': dict(b=2)},
        [dict(type='LongName' * 8, value=i, other='text' * 5) for i in range(3)],
        [[list(range(40))], 'quote\'s "and" \\ newline\n'],
        float('inf'),
    ],
)
def test_values_survive_being_written(value):
    text = format_assignment('value', value, {})
    read = {}
    exec(text, read)
    assert read['value'] == value
    assert max(map(len, text.splitlines())) <= 130
    if '\n' in text:
        assert ',\n' in text


def test_repeated_parts_are_written_as_their_name():
    codec = dict(type='Codec', size=(1, 2))
    text = format_assignment('head', dict(decoder=codec, other=[1]), {'codec': codec})
    assert text == 'head = dict(decoder=codec, other=[1])'


@pytest.mark.parametrize(
    'value',
    [
        dict(a=1, b=dict(c=1, d=2)),
        dict(a=2, b=dict(c=1, d=dict(e=1)), f=dict(g=1)),
        dict(a=dict(x=1), b=dict(d=2)),
        dict(b=dict(c=1, d=2)),
    ],
)
def test_difference_is_what_mmengine_merges(value):
    base = dict(a=1, b=dict(c=1, d=2))
    config = Config(dict(top=base))
    config.merge_from_dict(dict(top=difference(base, value)))
    assert config.top.to_dict() == value


def test_comment_cannot_be_left(checkpoint, tmp_path):
    evil = 'x\nraise SystemExit("run")\r\nmore\x0cand\u2028more'
    result = search_result(checkpoint)
    with export.exported(result, tmp_path / 'out', 'net', [evil]) as files:
        first = files.config.read_text().split('\n')[0]
    assert first == '# x raise SystemExit("run") more and more'


def test_data_elsewhere_do_not_matter(checkpoint, tmp_path, monkeypatch):
    result = search_result(checkpoint_of(search_config('nowhere')))
    model = export_check.searched_network(result)
    with pytest.raises(FileNotFoundError):
        export_check.real_images(result.config, model)


def test_blocks_without_anything_are_not_in_use():
    extent = export_report._extent(
        None, [BlockArch((), ()), BlockArch((), (), 2), BlockArch((3, 7), (1, 2))]
    )
    assert (extent.blocks, extent.tokens, extent.channels) == (2, 2, {3: 1, 7: 2})


@pytest.mark.slow
def test_retraining_and_testing_by_mim(checkpoint, tmp_path):
    result = search_result(checkpoint)
    with export.exported(result, tmp_path / 'out', 'net', []) as files:
        pass
    config, weights = tmp_path / 'out' / 'net.py', tmp_path / 'out' / 'net.pth'
    assert not files.config.exists()
    log = mim('test', config, tmp_path / 'test', '--checkpoint', str(weights))
    assert 'coco/AP' in log
    options = dict(train_cfg__max_epochs=1, load_from=str(weights))
    log = mim('train', config, tmp_path / 'train', **options)
    assert 'coco/AP' in log
    trained = read_checkpoint(tmp_path / 'train' / 'epoch_1.pth')['state_dict']
    shapes = {key: value.shape for key, value in trained.items()}
    assert shapes == {key: v.shape for key, v in result.weights.items()}
