"""Comparison of models: equal budgets, resumed runs, failures that are named."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from mmengine.config import Config

sys.path.insert(0, str(ROOT / 'tools'))
from comparing import steps
from comparing.curves import Line, draw_curves, read_curve, short_names
from comparing.recipe import MANNER, departures, prepare, refusals
from comparing.report import Row, as_json, markdown, put_into

from mmpose_lite.data import generate_toy_coco

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
train_cfg = dict(max_epochs=2, val_interval=1)
default_hooks = dict(logger=dict(interval=1))
model = dict(
    backbone=dict(arch=dict(
        _delete_=True, unit='{{unit}}', num_modules=(1, 1),
        channels=((8, 16), (8, 16, 32)), stem_channels=16)),
    head=dict(in_channels={{width}}))
train_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
"""


def read(*paths):
    """Configs by name."""
    return {path.stem: Config.fromfile(path) for path in paths}


def test_families_on_leeds_sports_pose_share_a_budget():
    assert len(LSPET) >= 10
    assert refusals(read(*LSPET)) == []


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
    (refusal,) = refusals(configs)
    assert refusal.startswith(f'{SEARCHED.stem} departs in {part}')


def test_own_optimizers_and_schedules_are_noted():
    shared, departing = departures(read(RES50, LITE, TOKENPOSE, COCO), MANNER)
    assert shared['optimizer']['optimizer']['lr'] == 2e-3
    assert departing[LITE.stem] == {}
    assert departing[RES50.stem]['optimizer']['optimizer']['lr'] == 5e-4
    assert set(departing[TOKENPOSE.stem]) == {'optimizer', 'schedule'}
    assert set(departing[COCO.stem]) >= {'schedule', 'augmentation', 'targets'}


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


def test_data_moves_with_all_that_is_read():
    cfg = prepare(Config.fromfile(COCO), data_root='elsewhere')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == 'elsewhere/'
        assert 'data/coco' not in str(loader.dataset)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert evaluator.ann_file.startswith('elsewhere/annotations/')


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


def log(folder, *records, tail=''):
    """The log of one run."""
    folder.mkdir(parents=True)
    text = '\n'.join(map(json.dumps, records))
    (folder / 'scalars.json').write_text(text + tail)


def test_a_resumed_run_has_one_curve(tmp_path):
    log(
        tmp_path / '20260101_000000/vis_data',
        dict(loss=4.0, time=1.0, step=1),
        dict(loss=3.0, time=1.0, step=2),
        dict(PCK=0.1, time=9.0, data_time=0.1, step=1),
        dict(loss=9.0, time=5.0, step=3),
        tail='\n{"loss": 2',
    )
    log(tmp_path / '20260102_000000/vis_data', dict(loss=2.0, time=2.5, step=3))
    log(tmp_path / 'test/20260103_000000/vis_data', dict(PCK=0.9, step=7))
    curve = read_curve(tmp_path)
    assert curve.losses == {1: 4.0, 2: 3.0, 3: 2.0}
    assert curve.metrics == {'PCK': {1: 0.1}}
    assert curve.step_seconds == 1.0
    assert read_curve(tmp_path / 'nowhere').step_seconds is None


def test_curves_are_drawn(tmp_path):
    log(
        tmp_path / '1/vis_data', dict(loss=4.0, time=1.0, step=1), dict(PCK=0.1, step=1)
    )
    curve = read_curve(tmp_path)
    lines = [Line(f'net {n}', [curve] * 2, 75.0) for n in range(10)]
    one, all_of_them = (
        cv2.imdecode(np.frombuffer(draw_curves(some, 'PCK', 'data'), np.uint8), 1)
        for some in (lines[:1], lines)
    )
    assert one.shape == all_of_them.shape
    assert (one != all_of_them).any()


def test_names_stay_different():
    for path in (RES50, LITE):
        names = short_names([path.stem, TOKENPOSE.stem])
        assert names[path.stem] == path.stem.split('_')[1]
    heads = ['simcc_net_1', 'td-hm_net_1', 'other']
    assert [*short_names(heads).values()] == ['simcc_net', 'td-hm_net', 'other']
    same = ['td-hm_net_1', 'td-hm_net_2']
    assert [*short_names(same).values()] == same
    stems = [path.stem for path in LSPET]
    assert len(set(short_names(stems).values())) == len(stems)


def test_table_names_spread_notes_and_failures():
    rows = [
        Row(
            'configs/a.py', 'd (2) / e (1)', 1_500_000, 2_000_000, 600, [0, 1],
            dict(PCK=[0.3, 0.4]), [0.5, 0.7], ['a-0.log', 'a-1.log'],
        ),
        Row('b.py', 'd', failures=['seed 0: b-0.train.log'], departs=dict(loss='own')),
        Row('c.py', 'd', departs=dict(loss='own')),
    ]  # fmt: skip
    recipe = dict(epochs=8, optimizer=dict(type='Adam', lr=0.1, bias=None), data=[{}])
    text = markdown(rows, ['PCK', 'coco/AP'], recipe)
    table = [
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in text.splitlines()
        if line.startswith('|')
    ]
    assert [row[0] for row in table] == ['config', '-' * 6, 'a', 'b [1]', 'c [1]']
    assert table[2][1:] == [
        '1.500 M', '2.0 M', 'd (2) / e (1)', '600', '0 1', '0.350 ± 0.071', '–',
        '0.60 ± 0.14', '6.0 ± 1.4', 'a-0.log a-1.log',
    ]  # fmt: skip
    assert [row[5] for row in table[2:]] == ['0 1', 'failed', 'not yet']
    assert '- [1] loss: own' in text
    assert '- b.py: seed 0: b-0.train.log' in text
    assert text.startswith(
        '- epochs: `8`\n- optimizer: `Adam(lr=0.1)`\n- data: `[dict()]`'
    )
    states = [row['state'] for row in json.loads(as_json(rows, {}, {}))['rows']]
    assert states == ['done', 'failed', 'not yet']


def test_table_is_put_between_the_marks_of_a_page(tmp_path):
    page = tmp_path / 'page.md'
    begin, end = '<!-- begin comparison -->', '<!-- end comparison -->'
    page.write_text(f'a\n{begin}\nold\n{end}\nb\n')
    for text in ('one\n', 'two\n'):
        put_into(page, text)
        assert page.read_text() == f'a\n{begin}\n\n{text}\n{end}\nb\n'
    page.write_text(f'{begin}\n')
    with pytest.raises(ValueError, match=r'page\.md: the text must have'):
        put_into(page, 'three')
    assert page.read_text() == f'{begin}\n'


def test_time_left_is_told_from_the_pace(capsys, monkeypatch):
    clock = iter([0.0, 10.0, 130.0, 310.0])
    monkeypatch.setattr(steps.time, 'monotonic', lambda: next(clock))
    progress = steps.Progress(5, untimed=1)
    for name in 'abc':
        progress.say(name)
    assert capsys.readouterr().out.splitlines() == [
        '== 1/5 a (10 s)',
        '== 2/5 b (130 s)',
        '== 3/5 c (310 s, about 8 min left)',
    ]


def test_a_step_says_how_far_it_is_and_what_failed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(steps, 'REPORT_EVERY', 0.1)
    line = 'Epoch(train)  [2][ 15/75]  lr: 2.0e-03  eta: 0:06:00  time: 1.2'
    words = ('bash', '-c', f'echo "{line}"; sleep 0.5; echo so; false')
    with pytest.raises(steps.StepFailed, match='its log is') as failed:
        steps.run(*words, log=tmp_path / 'logs' / 'a.log')
    assert failed.value.tail() == f'{line}\nso'
    assert capsys.readouterr().out.count('[2][ 15/75], 0:06:00 left') == 1


def test_a_killed_tool_leaves_no_process_behind(tmp_path):
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT / 'tools')!r})
from comparing import steps
steps.exit_when_terminated()
command = 'sleep 600 & echo $! > pid.part; mv pid.part pid; wait'
steps.run('bash', '-c', f'cd {tmp_path}; {{command}}', log=Path('a.log'))
"""
    words = [sys.executable, '-W', 'ignore', '-c', code]
    tool = subprocess.Popen(words, cwd=tmp_path)
    wait_for(tool, (tmp_path / 'pid').exists)
    pid = (tmp_path / 'pid').read_text().strip()
    tool.terminate()
    assert tool.wait(30) == 128 + signal.SIGTERM
    wait_for(None, lambda: not runs(pid))


def runs(pid):
    """Whether a process is there and no zombie."""
    words = ['ps', '-o', 'stat=', '-p', pid]
    state = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith('Z')


def wait_for(process, condition, seconds=300):
    """Wait until something holds while a process, if given, still runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, 'it ended before'
        time.sleep(0.05)


def tool(folder, *names, epochs=2):
    """Words and surroundings of the command line on toy data."""
    words = [
        *(sys.executable, '-W', 'ignore', 'tools/compare_models.py'),
        *(str(folder / f'net_{name}.py') for name in names),
        *('--data-root', str(folder / 'data'), '--out', str(folder / 'out')),
        *('--metrics', 'coco/AP', '--epochs', str(epochs)),
    ]
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    return dict(args=words, cwd=ROOT, env=env, text=True, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_comparison_survives_a_kill_and_a_failure(tmp_path):
    generate_toy_coco(tmp_path / 'data', num_train=16, num_val=4, image_size=(160, 120))
    for name, unit, width in (
        ('one', 'parallel', 8),
        ('broken', 'naive', 9),
        ('two', 'sequential', 8),
    ):
        (tmp_path / f'net_{name}.py').write_text(TINY.format(unit=unit, width=width))
    out, names = tmp_path / 'out', ('one', 'broken', 'two')
    kept = out / 'net_one-0' / 'last_checkpoint'
    with subprocess.Popen(**tool(tmp_path, *names)) as killed:
        wait_for(killed, kept.exists)
        killed.terminate()
        assert killed.wait(30) == 128 + signal.SIGTERM
    assert not (out / 'net_one-0' / 'result.json').exists()

    done = subprocess.run(**tool(tmp_path, *names), stdout=subprocess.PIPE, check=False)
    assert done.returncode == 1, done.stderr
    assert 'net_broken-0.train.log' in done.stderr
    assert re.findall(r'== (\d/\d) net_(\w+)', done.stdout) == [
        ('1/3', 'one'), ('2/3', 'broken'), ('3/3', 'two'),
    ]  # fmt: skip
    assert 'resumed epoch: 1' in (out / 'net_one-0.train.log').read_text()
    rows = json.loads((out / 'results.json').read_text())['rows']
    assert [row['state'] for row in rows] == ['done', 'failed', 'done']
    assert rows[0]['data'] == 'person_keypoints_train (16) / person_keypoints_val (4)'
    persons = count_persons(tmp_path / 'data')
    for row in rows[::2]:
        assert row['steps'] == 2 * (persons // 8)  # the demo drops the rest
        assert row['params'] > 1000
        assert 0 <= row['metrics']['coco/AP'][0] <= 1
        assert (out / row['logs'][0]).exists()
    assert 'Failed:' in (out / 'results.md').read_text()
    assert cv2.imread(str(out / 'curves.png')).std() > 5

    results = [out / f'net_{name}-0' / 'result.json' for name in ('one', 'two')]
    times = [path.stat().st_mtime_ns for path in results]
    again = tool(tmp_path, 'one', 'two')
    done = subprocess.run(**again, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr
    assert '==' not in done.stdout
    assert times == [path.stat().st_mtime_ns for path in results]

    (tmp_path / 'net_more.py').write_text(TINY.format(unit='naive', width=8))
    report = tool(tmp_path, 'one', 'more')
    report['args'].append('--report')
    done = subprocess.run(**report, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((out / 'results.json').read_text())['rows']
    assert [row['state'] for row in rows] == ['done', 'not yet']
    assert not (out / 'net_more-0').exists()

    other = tool(tmp_path, 'one', 'two', epochs=3)
    done = subprocess.run(**other, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert 'another recipe' in done.stderr


def count_persons(folder: Path) -> int:
    """Persons to train on."""
    path = folder / 'annotations' / 'person_keypoints_train.json'
    persons = json.loads(path.read_text())['annotations']
    return sum(person['num_keypoints'] > 0 for person in persons)
