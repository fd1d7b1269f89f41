"""Comparison of models: equal budgets, resumed runs, failures that are named."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from mmengine.config import Config

from mmpose_lite import mim
from mmpose_lite.data import generate_toy_coco

sys.path.insert(0, str(ROOT / 'tools'))
import compare_models
from compare_models import departures, markdown, prepare

LSPET = sorted(
    path
    for path in ROOT.glob('configs/**/*1xb32-8e_lspet-128x96.py')
    if 'hrnas-mini_' not in path.stem
)
LITE, TOKENPOSE, SEARCHED, RES50 = (
    next(path for path in LSPET if f'_{name}_' in path.stem)
    for name in (
        'litehrnet-18',
        'tokenpose-s-v1',
        'hrnas-mini-searched',
        'mmpose-res50',
    )
)
COCO = ROOT / 'configs/xhrnet/td-hm_xhrnet-s18_8xb64-210e_coco-256x192.py'
DEMO = next((ROOT / 'configs' / 'demo').glob('*.py'))
TINY = f"""
_base_ = ['{DEMO}']
train_cfg = dict(max_epochs=4, val_interval=1)
model = dict(
    backbone=dict(arch=dict(
        _delete_=True, unit='naive', num_modules=(1, 1),
        channels=((8, 16), (8, 16, 32)), stem_channels=16)),
    head=dict(in_channels=8))
train_dataloader = dict(
    batch_size=8, num_workers=0, persistent_workers=False,
    dataset=dict(data_root='{{data}}/'))
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root='{{data}}/'))
test_dataloader = val_dataloader
"""
# Writes what mim and MMEngine do; a config that is named 'broken' fails once trained.
FAKE_MIM = """
import json, pathlib, sys
command, config, words = sys.argv[1], sys.argv[3], sys.argv
work_dir = pathlib.Path(words[words.index('--work-dir') + 1])
if command == 'train':
    with open(work_dir.parent / 'calls.txt', 'a') as file:
        print(*words[3:], file=file)
run = work_dir / '20260101_000000'
(run / 'vis_data').mkdir(parents=True)
if command == 'test':
    scores = {'coco/AP': 0.25, 'time': 0.1}
    (run / '20260101_000000.json').write_text(json.dumps(scores))
elif 'broken' in config:
    sys.exit('out of luck')
else:
    import torch
    records = [{'loss': 2.0 / s, 'time': 0.5, 'step': s} for s in (1, 2, 3, 4)]
    records.append({'coco/AP': 0.2, 'step': 2})
    log = run / 'vis_data' / 'scalars.json'
    log.write_text('\\n'.join(map(json.dumps, records)))
    weights = work_dir / 'epoch_2.pth'
    torch.save(dict(meta=dict(epoch=2, iter=4)), weights)
    (work_dir / 'last_checkpoint').write_text(str(weights))
"""


def read(*paths):
    """Configs by name."""
    return {path.stem: Config.fromfile(path) for path in paths}


def test_families_on_leeds_sports_pose_share_a_budget():
    assert len(LSPET) >= 10
    departures(read(*LSPET))


@pytest.mark.parametrize(
    ('part', 'change'),
    [
        ('epochs', {'train_cfg.max_epochs': 9}),
        ('batch size', {'train_dataloader.batch_size': 16}),
        ('batch size', {'optim_wrapper.accumulative_counts': 2}),
        ('training data', {'train_dataloader.dataset.ann_file': 'other.json'}),
        ('test data', {'test_dataloader.dataset.data_prefix.img': 'other/'}),
        ('input size', {'model.head.decoder.input_size': (192, 256)}),
        ('metrics', {'test_evaluator': [dict(type='PCKAccuracy', thr=0.2)]}),
        ('flip test', {'model.test_cfg.flip_test': True}),
        ('weights to begin with', {'load_from': 'a.pth'}),
        (
            'weights to begin with',
            {'model.backbone.init_cfg': dict(type='Pretrained', checkpoint='b.pth')},
        ),
    ],
)
def test_unequal_budgets_are_refused(part, change):
    configs = read(LITE, SEARCHED, RES50)
    configs[SEARCHED.stem].merge_from_dict(change)
    with pytest.raises(ValueError, match='unequal budgets') as refused:
        departures(configs)
    (line,) = str(refused.value).splitlines()[1:]
    assert line.startswith(f'{SEARCHED.stem} departs in {part}')


def test_own_optimizers_and_schedules_are_noted():
    configs = read(RES50, LITE, TOKENPOSE)
    for name in ('own', 'plain'):
        configs[name] = Config.fromfile(LITE)
    configs['own'].train_dataloader.dataset.pipeline.pop(2)
    configs['own'].model.head.decoder.sigma = 3
    shared, own = departures(configs)
    assert shared['optimizer']['optimizer']['lr'] == 2e-3
    assert own[LITE.stem] == {}
    assert own[RES50.stem]['optimizer']['optimizer']['lr'] == 5e-4
    assert set(own[TOKENPOSE.stem]) == {'optimizer', 'schedule'}
    assert set(own['own']) == {'augmentation', 'targets'}


def test_schedules_follow_the_number_of_epochs():
    cfg = prepare(Config.fromfile(TOKENPOSE), epochs=4)
    warmup, cosine = cfg.param_scheduler
    assert (warmup.begin, warmup.end) == (0, 38)
    assert (cosine.begin, cosine.end, cosine.T_max) == (38, 300, 262)
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (4, 1)
    cfg = prepare(Config.fromfile(COCO), epochs=21)
    warmup, milestones = cfg.param_scheduler
    assert (warmup.end, milestones.end) == (50, 21)
    assert milestones.milestones == [17, 20]
    same = Config.fromfile(COCO)
    assert prepare(Config.fromfile(COCO), epochs=210).param_scheduler == (
        same.param_scheduler
    )


def test_what_is_trained_can_be_resumed():
    cfg = prepare(Config.fromfile(COCO))
    hook = cfg.default_hooks.checkpoint
    assert (hook.type, hook.interval) == ('mmpose_lite.AtomicCheckpointHook', 1)
    types = [hook.type for hook in cfg.custom_hooks]
    assert types.count('mmpose_lite.EpochSeedHook') == 1
    again = [hook.type for hook in prepare(cfg).custom_hooks]
    assert again == types
    with pytest.raises(ValueError, match='max_epochs'):
        prepare(Config(dict(train_cfg=dict(max_iters=5))))


def test_table_names_spread_notes_and_failures():
    cost = dict(params=1_500_000, macs=2_000_000)
    runs = {
        '0': dict(PCK=0.3, steps=600, seconds=0.5),
        '1': dict(PCK=0.4, steps=600, seconds=0.7),
    }
    done = dict(cost, config='a', runs=runs, own={}, failed=[])
    none = dict(cost, runs={}, own=dict(loss='own'), failed=[])
    failed = dict(none, config='b', failed=['seed 0: b-0.train.log'])
    rows = [done, failed, dict(none, config='c')]
    recipe = dict(epochs=8, optimizer=dict(type='Adam', lr=0.1, bias=None), data=[{}])
    text = markdown(rows, ['PCK', 'coco/AP'], recipe)
    table = [
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in text.splitlines()
        if line.startswith('|')
    ]
    assert [row[0] for row in table] == ['config', '-' * 6, 'a', 'b [1]', 'c [1]']
    assert table[2][1:] == [
        '1.500 M', '2.0 M', '600', '0 1', '0.350 ± 0.071', '–', '0.60 ± 0.14',
        '6.0 ± 1.4',
    ]  # fmt: skip
    assert [row[4] for row in table[2:]] == ['0 1', 'failed', 'not yet']
    assert '- [1] loss: `own`' in text
    assert '- b, seed 0: b-0.train.log' in text
    assert text.startswith(
        '- epochs: `8`\n- optimizer: `Adam(lr=0.1)`\n- data: `[dict()]`'
    )


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    """The tool in this process, with trainings that take no time."""
    generate_toy_coco(tmp_path / 'data', num_train=2, num_val=1, image_size=(96, 72))
    fake = tmp_path / 'mim'
    fake.write_text(FAKE_MIM)
    monkeypatch.setattr(mim, 'MIM', (sys.executable, str(fake)))

    def call(*names, epochs=2, words=()):
        paths = [tmp_path / f'{name}.py' for name in names]
        for path in paths:
            path.write_text(TINY.format(data=tmp_path / 'data'))
        words = ('--epochs', epochs, '--metrics', 'coco/AP', *words)
        words = (*paths, '--out', tmp_path / 'out', *words)
        code = compare_models.main([*map(str, words)])
        content = json.loads((tmp_path / 'out' / 'results.json').read_text())
        return code, content['rows'], capsys.readouterr()

    return call


def test_finished_runs_are_skipped_and_failed_ones_named(compare, tmp_path):
    out, page = tmp_path / 'out', tmp_path / 'page.md'
    page.write_text(
        'before\n<!-- begin comparison -->\nold\n<!-- end comparison -->\nafter\n'
    )
    words = ('--update', page, '--seeds', 0, 1)
    code, rows, said = compare('one', 'broken', words=words)
    assert code == 1
    assert said.out.count('== ') == 4
    assert 'out of luck' in said.err
    assert 'broken-0.train.log' in said.err
    one, broken = rows
    for run in one['runs'].values():
        assert (run['coco/AP'], run['steps'], run['seconds']) == (0.25, 4, 0.5)
    assert [*one['runs']] == ['0', '1']
    assert one['params'] > 1000
    assert broken['runs'] == {}
    assert broken['failed'] == [
        f'seed {seed}: broken-{seed}.train.log' for seed in '01'
    ]
    text = (out / 'results.md').read_text()
    assert page.read_text().startswith('before\n')
    assert text.strip() in page.read_text()
    assert '- images: `person_keypoints_train (2) / person_keypoints_val (1)`' in text
    assert 'Failed:' in text
    calls = (out / 'calls.txt').read_text().splitlines()
    assert all('--resume' in line for line in calls)
    assert [line.split()[-1] for line in calls] == [
        f'randomness.seed={seed}' for seed in (0, 0, 1, 1)
    ]

    code, rows, said = compare('one', 'two')
    assert code == 0
    assert said.out.count('== ') == 1
    assert [[*row['runs']] for row in rows] == [['0'], ['0']]
    with pytest.raises(SystemExit, match='another recipe'):
        compare('one', 'two', epochs=3)


def test_a_terminated_tool_leaves_no_process_behind(tmp_path):
    fake = tmp_path / 'mim.sh'
    fake.write_text(f'cd {tmp_path}; sleep 600 & echo $! > part; mv part pid; wait')
    generate_toy_coco(tmp_path / 'data', num_train=2, num_val=1, image_size=(96, 72))
    (tmp_path / 'one.py').write_text(TINY.format(data=tmp_path / 'data'))
    code = f"""
import sys
sys.path.insert(0, {str(ROOT / 'tools')!r})
import compare_models
from mmpose_lite import mim
mim.MIM = ('bash', 'mim.sh')
compare_models.main(['one.py', '--out', 'out'])
"""
    words = [sys.executable, '-W', 'ignore', '-c', code]
    tool = subprocess.Popen(words, cwd=tmp_path)
    wait_for((tmp_path / 'pid').exists)
    pid = (tmp_path / 'pid').read_text().strip()
    tool.terminate()
    assert tool.wait(30) == 128 + signal.SIGTERM
    wait_for(lambda: not runs(pid))


def runs(pid):
    """Whether a process exists and is no zombie."""
    words = ['ps', '-o', 'stat=', '-p', pid]
    state = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith('Z')


def wait_for(condition, seconds=300):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
