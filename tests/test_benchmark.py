"""The benchmark: who takes part, what is compared with what, and what is written."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT
from torch import nn

sys.path.insert(0, str(ROOT / 'tools'))
from benchmarks import (
    bound,
    engines,
    litert,
    pose_engines,
    pose_files,
    pose_plot,
    pose_prepared,
)
from benchmarks import contestants as who
from benchmarks import pose_costs as costs
from benchmarks import pose_report as report
from benchmarks.pose_cells import middle_half
from benchmarks.pose_extras import gain_table
from benchmarks.pose_plan import Entry, Plan, Setting, check_available, groups
from benchmarks.pose_results import Results, Row, fastest
from benchmarks.pose_targets import verdicts

from mmpose_lite.analysis import Spread
from mmpose_lite.deploy import list_passes, to_onnx

NAMES = [one.name for one in who.CONTESTANTS]


def row(name, form, engine, ms, precision='f32', group=0, batch=1, **options):
    """A row whose rounds all took about ``ms``."""
    seconds = {n: 1e-3 * ms * (1 + 0.1 * n) for n in range(3)}
    return Row(Entry(name, form, engine, precision, batch), group, seconds, **options)


def results(*rows, **options):
    """Results of three networks, the third without AP."""
    about = dict(
        date='2026-01-02T03:04:05+00:00', cpu='A CPU', cores=2, device='CPU', threads=1,
        image_size=[256, 192], rounds=3, warmup=1, group=9, clock='perf_counter',
        load_average=0.0, versions=dict(torch='2'),
    )  # fmt: skip
    people = {
        'mmpose-litehrnet-18': dict(title='Theirs', ours=False, ap=64.2, source='a'),
        'litehrnet-18': dict(title='Mine', ours=True, ap=64.8, source='b'),
        'xhrnet-s18': dict(title='Nameless', ours=True, ap=None, source=None),
    }
    return Results(about, 'mmpose-litehrnet-18', people, rows=list(rows), **options)


def measured():
    """Rows of two groups, the baseline in both."""
    theirs, mine = 'mmpose-litehrnet-18', 'litehrnet-18'
    return results(
        row(theirs, who.STRAIGHTFORWARD, 'openvino', 24, megabytes=50.0),
        row(theirs, who.AS_IS, 'openvino', 20),
        row(theirs, who.AS_IS, 'eager', 90),
        row(mine, who.AS_IS, 'openvino', 16),
        row(mine, who.OPTIMIZED, 'openvino', 8, difference=1e-6),
        row(mine, who.OPTIMIZED, 'eager', 50),
        row(theirs, who.STRAIGHTFORWARD, 'openvino', 30, group=1),
        row('xhrnet-s18', who.OPTIMIZED, 'openvino', 10, group=1),
        Row(Entry('xhrnet-s18', who.AS_IS, 'eager', 'f32', 1), 1, error='a|b'),
    )


def test_contestants_are_chosen_by_name_and_pattern():
    chosen = [c.name for c in who.choose(['xhrnet-*', 'LiteHRNet-18', 'rtmpose-t'])]
    # In the table's order, whatever was typed first.
    assert chosen == [
        *('litehrnet-18', 'rtmpose-t', 'xhrnet-s18', 'xhrnet-s30', 'xhrnet-p18')
    ]
    assert [c.name for c in who.choose([])][: len(NAMES)] == NAMES
    assert len(set(NAMES)) == len(NAMES)


def test_unknown_contestant_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"'xhrnet-18'; nearest: \['xhrnet-[sp]18'"):
        who.choose(['xhrnet-18'])


@pytest.mark.parametrize('one', who.CONTESTANTS, ids=NAMES)
def test_every_contestant_has_a_config_for_the_same_images(one):
    assert one.path.is_file()
    # What was searched for smaller images computes on these as well.
    assert one.path.stem.endswith('coco-256x192') or 'searched' in one.name
    assert (one.forms == who.OURS) == one.ours


def test_published_accuracy_comes_from_metafiles():
    found = {name: who.published(who.choose([name])[0]) for name in NAMES}
    assert found['mmpose-litehrnet-18'] == (64.2, 'metafile of MMPose 1.3.2')
    assert found['litehrnet-18'][0] == 64.8
    assert 'Lite-HRNet' in found['litehrnet-18'][1]
    assert found['rtmpose-t'][0] == 68.2
    assert found['hrnet-w32'][0] == 74.6
    assert found['xhrnet-s18'] is None
    assert all(found[c.name] for c in who.CONTESTANTS if not c.ours)


# mmdet, whose backbone RTMPose has, still decorates with it.
@pytest.mark.filterwarnings('ignore:.torch.cuda.amp:FutureWarning')
@pytest.mark.slow
@pytest.mark.parametrize('one', who.CONTESTANTS, ids=NAMES)
def test_every_contestant_is_built_and_computes(one):
    size = (256, 192)
    estimator = who.settle(who.build(one), size)
    assert not any(module.training for module in estimator.modules())
    with torch.no_grad():
        outputs = estimator(pose_engines.random_images(1, size), None, mode='tensor')
    for array in pose_engines.as_arrays(outputs):
        assert np.isfinite(array).all()
        # Neither vanished nor exploded, as it would be without statistics.
        assert 1e-4 < array.std() < 1e4


def test_building_is_repeatable():
    one = who.choose(['shufflenetv2'])[0]
    first, second = (
        who.settle(who.build(one), (64, 64)).state_dict() for _ in range(2)
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


def plan(**options):
    chosen = who.choose(['mmpose-litehrnet-18', 'litehrnet-18', 'rtmpose-t'])
    defaults = dict(
        contestants=tuple(chosen),
        engines=('eager', 'onnxruntime', 'openvino'),
        precisions=('f32', 'bf16'),
        batches=(1,),
        baseline='mmpose-litehrnet-18',
    )
    return Plan(**{**defaults, **options})


def test_rows_of_a_plan():
    rows = [e for e in plan().entries(1) if e.contestant == 'mmpose-litehrnet-18']
    assert [(e.engine, e.precision, e.form) for e in rows] == [
        ('eager', 'f32', who.AS_IS),
        ('onnxruntime', 'f32', who.STRAIGHTFORWARD),
        ('onnxruntime', 'f32', who.AS_IS),
        ('openvino', 'f32', who.STRAIGHTFORWARD),
        ('openvino', 'f32', who.AS_IS),
        ('openvino', 'bf16', who.STRAIGHTFORWARD),
        ('openvino', 'bf16', who.AS_IS),
    ]
    assert len(plan().entries(1)) == 7 + 2 * 4 + 4


def test_the_compiler_runs_ours_rewritten():
    (row,) = plan(engines=('native',), precisions=('f32',)).entries(1)
    assert (row.contestant, row.form) == ('litehrnet-18', who.OPTIMIZED)
    assert not plan(engines=('native',), precisions=('f32',), steps=True).entries(1)


def test_the_compiler_must_be_there(monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(ValueError, match='engine native: no C'):
        check_available('native')


def test_rows_of_the_gains():
    rows = plan(steps=True, engines=('eager', 'openvino')).entries(1)
    forms = {
        engine: [
            e.form
            for e in rows
            if (e.contestant, e.engine, e.precision) == ('litehrnet-18', engine, 'f32')
        ]
        for engine in ('eager', 'openvino')
    }
    assert forms['eager'][:2] == forms['openvino'][:2] == [who.AS_IS, 'fold norms']
    assert forms['eager'][-1] == 'order for eager'
    assert 'order for eager' not in forms['openvino']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(rounds=0), 'rounds must be at least 1, got 0'),
        (dict(batches=(1, 0)), r'batch and threads must be at least 1, got \(1, 0\)'),
        (dict(baseline='hrnet-w32'), "must take part, .*got 'hrnet-w32'"),
        (dict(engines=('ncnn',)), r"one of \['eager', .*\] on cpu, got 'ncnn'"),
        (
            dict(engines=('eager',), precisions=('bf16',)),
            r"one of \['f32'\] with engines \['eager'\], got 'bf16'",
        ),
    ],
)
def test_wrong_plans_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        plan(**options)


def test_cuda_needs_a_build_for_it(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, 'is_built', lambda: False)
    with pytest.raises(ValueError, match='needs a torch built for CUDA, this is 2'):
        check_available('amp', 'cuda')
    check_available('eager')
    setting = pose_engines.Setting(device='cuda')
    rows = plan(
        setting=setting, engines=('amp', 'compile'), precisions=('f32', 'f16')
    ).entries(1)
    assert [(e.engine, e.precision) for e in rows if e.contestant == 'rtmpose-t'] == [
        ('amp', 'f16'), ('compile', 'f32'), ('compile', 'f16'),
    ]  # fmt: skip


def test_groups_hold_contestants_together_beside_the_baseline():
    entries = [
        Entry(name, str(n), 'eager', 'f32', 1)
        for name, count in (('a', 3), ('base', 2), ('b', 3), ('c', 2), ('d', 9))
        for n in range(count)
    ]
    found = groups(entries, 'base', 8)
    sizes = [[e.contestant for e in group] for group in found]
    assert [sorted(set(names)) for names in sizes] == [
        ['a', 'b', 'base'], ['base', 'c'], ['base', 'd'],
    ]  # fmt: skip
    assert [len(names) for names in sizes] == [8, 4, 11]
    assert sorted({e for g in found for e in g}, key=entries.index) == entries


def test_results_survive_json():
    found = measured()
    found.costs['litehrnet-18'] = {who.AS_IS: costs.Costs(1, 2, 3, 4, 5.0)}
    again = Results.from_data(json.loads(json.dumps(found.as_data())))
    assert again == found
    assert found.failed
    assert not results(row('litehrnet-18', who.AS_IS, 'eager', 1)).failed


def test_rows_are_compared_with_the_baseline_of_their_rounds():
    found = measured()
    by_key = {(r.entry.contestant, r.entry.form, r.entry.engine): r for r in found.rows}
    mine = by_key['litehrnet-18', who.OPTIMIZED, 'openvino']
    # Exported rows with the straightforward export, of the same group.
    assert found.rival(mine) is found.rows[0]
    eager = by_key['litehrnet-18', who.OPTIMIZED, 'eager']
    assert found.rival(eager) is found.rows[2]
    other = by_key['xhrnet-s18', who.OPTIMIZED, 'openvino']
    assert found.rival(other) is found.rows[6]
    assert fastest(found.good(1)) is mine
    assert fastest([]) is None


def cells(table, line):
    """Cells of the table line that begins so."""
    found = next(t for t in table.splitlines() if t.startswith(f'| {line}'))
    return [cell.strip() for cell in found.strip('|').split('|')][1:]


def test_tables_hold_medians_spreads_and_ratios():
    found = measured()
    latency = report.latency_table(found, 1)
    assert cells(latency, 'network') == ['openvino f32', 'eager f32']
    # Rounds of 8, 8.8 and 9.6 ms.
    assert cells(latency, 'Mine, optimized') == [
        '8.80 (8.40–9.20)', '55.0 (52.5–57.5)',
    ]  # fmt: skip
    assert cells(latency, 'Theirs, straightforward')[1] == '–'
    assert cells(latency, 'Nameless, as is')[1] == 'failed'
    ratios = report.ratio_table(found, 1)
    assert 'Times as fast as Theirs, exported straightforwardly,' in ratios
    assert cells(ratios, 'Mine, optimized')[0] == '3.00 (3.00–3.00)'
    assert cells(ratios, 'Theirs, as is') == ['1.20 (1.20–1.20)', '1.00 (1.00–1.00)']
    assert cells(ratios, 'Nameless, optimized')[0] == '3.00 (3.00–3.00)'
    best = report.best_table(found, 1)
    # The baseline's own best here is not its straightforward export.
    assert cells(best, 'Mine') == [
        who.OPTIMIZED, 'openvino', '8.80 (8.40–9.20)', '2.50 (2.50–2.50)',
    ]  # fmt: skip
    assert cells(report.memory_table(found, 1), 'Theirs, straightforward') == [
        '50',
        '–',
    ]
    assert r'a\|b' in report.failure_table(found)
    assert '1e-06 (litehrnet-18)' in report.difference_text(found)


def test_targets_take_ratios_of_the_same_group():
    found = {v.text: v for v in verdicts(measured())}
    text = 'mmpose-litehrnet-18 / litehrnet-18: each on its best engine, f32'
    assert found[text].measured.median == pytest.approx(2.5)
    assert found[text].met
    text = (
        'mmpose-litehrnet-18, straightforward / litehrnet-18, optimized: openvino f32'
    )
    assert found[text].measured.median == pytest.approx(3)
    text = 'mmpose-litehrnet-18, as is / litehrnet-18, optimized: eager f32'
    assert found[text].measured.median == pytest.approx(1.8)
    assert not found[text].met
    # Its form as is failed; rtmpose-t and bf16 were not measured.
    assert len(found) == 3


def test_targets_of_counts_and_training():
    base = costs.Costs(1, 1, 1, 985, 308.0)
    fast = costs.Costs(1, 1, 1, 565, 175.0)
    found = results(
        costs={
            'mmpose-litehrnet-18': {pose_engines.FOLDED: base},
            'litehrnet-18': {who.OPTIMIZED: fast},
        }
    )
    found.extras['training'] = dict(
        slow='a', fast='b', ratio=dict(median=1.2, low=1.1, high=1.3), memory_ratio=1.5
    )
    counted = [(round(v.measured.median, 2), v.met) for v in verdicts(found)]
    assert counted == [(1.74, True), (1.76, True), (1.2, False), (1.5, True)]
    assert '| not met |' in report.target_table(found)


def test_csv_has_a_line_per_row():
    found = measured()
    found.costs['litehrnet-18'] = {
        name: costs.Costs(1, 2, 3, operators, 5.0)
        for name, operators in (
            (who.AS_IS, 10), (pose_engines.FOLDED, 9), (who.OPTIMIZED, 5),
            (pose_engines.optimized_for('openvino'), 6),
        )
    }  # fmt: skip
    lines = list(csv.DictReader(io.StringIO(pose_files.csv_text(found))))
    # The baseline's row of the second group is the same entry.
    assert len(lines) == 8
    mine = {
        (line['form'], line['engine']): line
        for line in lines
        if line['contestant'] == 'litehrnet-18'
    }
    assert float(mine[who.OPTIMIZED, 'openvino']['median_ms']) == pytest.approx(8.8)
    assert float(mine[who.OPTIMIZED, 'openvino']['times_as_fast']) == pytest.approx(3)
    counts = {key: line['operators'] for key, line in mine.items()}
    assert counts == {
        (who.AS_IS, 'openvino'): '9',
        (who.OPTIMIZED, 'openvino'): '6',
        (who.OPTIMIZED, 'eager'): '5',
    }
    assert lines[-1]['error'] == 'a|b'
    assert lines[-1]['median_ms'] == ''


def test_report_is_written_whole(tmp_path):
    found = measured()
    found.extras['training'] = dict(
        batch=16, rounds=2, slow='theirs', fast='mine', memory_ratio=None,
        ratio=dict(median=1.5, low=1.4, high=1.6),
        networks=dict(
            mine=dict(seconds=dict(median=2.0, low=1.9, high=2.1), megabytes=None)
        ),
    )  # fmt: skip
    part = dict(count=300, gflops=0.4, ms=dict(median=4.4, low=4.3, high=4.5))
    found.extras['bound'] = dict(
        contestant='litehrnet-18',
        flags='g++ -O3',
        parts=dict(all=part),
        rates=dict(a=1),
    )
    pose_files.write_report(tmp_path / 'new', found)
    text = (tmp_path / 'new' / 'results.md').read_text()
    assert '2026-01-02, A CPU (2 cores), CPU, 1 thread, 256x192 (H x W)' in text
    assert 'takes 1.50 (1.40–1.60) times as long as mine' in text
    assert 'openvino, optimized) takes 2.0 times as long as all of it' in text
    again = json.loads((tmp_path / 'new' / 'results.json').read_text())
    assert Results.from_data(again).rows == found.rows


def gains():
    """What two rewrites gain, timed on OpenVINO."""
    steps = [
        dict(name=name, operators=n, megabytes=10.0 * n, difference=0, difference_f32=0)
        for name, n in (('as trained', 9), ('fold norms', 6))
    ]
    timed = results(
        row('litehrnet-18', who.AS_IS, 'openvino', 12),
        row('litehrnet-18', 'fold norms', 'openvino', 8),
    )
    return dict(
        titles={'litehrnet-18': 'Mine'},
        counts={'litehrnet-18': dict(openvino=steps, eager=steps)},
        timed=timed.as_data(),
    )


def test_gain_table_joins_counts_and_times():
    found = results(extras=dict(gains=gains()))
    openvino, eager = gain_table(found).split('for eager')
    assert cells(openvino, 'fold norms') == [
        '6', '60', '0', '0', '8.80 (8.40–9.20)', '1.50 (1.50–1.50)',
    ]  # fmt: skip
    assert cells(eager, 'fold norms') == ['6', '60', '0', '0']
    assert not found.failed
    found.extras['gains']['timed']['rows'][1]['error'] = 'of the step'
    assert found.failed
    assert 'of the step' in report.failure_table(found)
    found.extras['gains']['timed'] = None
    assert cells(gain_table(found), 'fold norms') == ['6', '60', '0', '0']


BEGIN, END = '<!-- benchmark:begin -->', '<!-- benchmark:end -->'
GAINS = '<!-- benchmark:begin gains -->'


def test_documents_are_changed_between_their_markers_only(tmp_path):
    page = tmp_path / 'page.md'
    before = f'before\n{BEGIN}\nstale\n{END}\nbetween {GAINS}old gains{END}\nafter\n'
    page.write_text(before)
    pose_files.update_document(page, measured())
    text = page.read_text()
    assert text.startswith(f'before\n{BEGIN}\n\n2026-01-02, A CPU')
    assert '### Targets' in text
    assert '### Latency' not in text
    assert 'stale' not in text
    # Gains were not measured this time.
    assert text.endswith(f'{END}\nbetween {GAINS}old gains{END}\nafter\n')
    pose_files.update_document(page, measured())
    assert page.read_text() == text
    pose_files.update_document(page, results(extras=dict(gains=gains())))
    head = text.split('between')[0]
    assert page.read_text().startswith(head)
    assert '### Gain per rewrite: Mine, for openvino' in page.read_text()
    assert 'old gains' not in page.read_text()
    page.write_text(before.replace('gains', 'tables'))
    pose_files.update_document(page, measured())
    assert '### Latency, ms, batch 1' in page.read_text()
    assert list(tmp_path.iterdir()) == [page]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('nothing', 'must have markers'),
        (BEGIN, 'must have markers'),
        (f'{END} {BEGIN}', 'must have markers'),
        (f'{BEGIN} {END} {END}', 'must have markers'),
        (f'{BEGIN} {BEGIN} {END}', 'must have markers'),
        (f'{BEGIN} {END} {END} {BEGIN}', 'must have markers'),
        (GAINS.replace('gains', 'all') + END, "must name one of .*, got 'all'"),
    ],
)
def test_documents_with_wrong_markers_are_left_alone(tmp_path, text, message):
    page = tmp_path / 'page.md'
    page.write_text(text)
    with pytest.raises(ValueError, match=message):
        pose_files.update_document(page, measured())
    assert page.read_text() == text


def test_picture_shows_networks_with_published_accuracy():
    found, without = pose_plot.points(measured())
    assert [(p.title, round(p.ms, 1), p.ap) for p in found] == [
        ('Theirs', 22.0, 64.2), ('Mine', 8.8, 64.8),
    ]  # fmt: skip
    assert without == ['Nameless']
    assert [p.title for p in pose_plot.front(found)] == ['Mine']
    picture = pose_plot.plot_pareto(measured())
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (720, 1080, 3)
    assert pose_plot.plot_pareto(results()) is None


def test_front_leaves_out_what_is_slower_and_not_better():
    drawn = [
        pose_plot.Point(str(n), ms, ap, True)
        for n, (ms, ap) in enumerate([(5, 60), (6, 59), (6, 61), (9, 61), (20, 70)])
    ]
    assert [p.title for p in pose_plot.front(drawn)] == ['0', '2', '4']


class Twice(nn.Module):
    """A convolution that runs twice, a product without weights, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.linear = nn.Linear(4, 5)

    def forward(self, x, _=None, mode=''):
        x = self.conv(self.conv(x))
        return self.linear(x @ x.transpose(2, 3))


def test_macs_are_counted_as_executed_and_once():
    net, x = Twice().eval(), torch.randn(1, 3, 4, 6)
    conv, product, linear = 9 * 24, 3 * 4 * 4 * 6, 12 * 4 * 5
    found = costs.count_costs(net, x)
    assert found.macs == 2 * conv + product + linear
    assert found.macs_once == conv + product + linear
    assert found.params == 12 + 25
    assert found.operators >= 4


def test_straightforward_export_leaves_norms_in():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    x = torch.randn(2, 3, 5, 5)
    plain, folded = (
        [node.op_type for node in onnx.load_from_string(data).graph.node]
        for data in (pose_engines.export_plainly(net, x), to_onnx(net, x, batch=2))
    )
    # Initial values that are equal are shared through an Identity.
    assert [n for n in plain if n != 'Identity'] == ['Conv', 'BatchNormalization']
    assert folded == ['Conv']


@pytest.mark.parametrize('engine', ['onnxruntime', 'openvino'])
def test_engines_compute_what_pytorch_computes(engine):
    pytest.importorskip(engine)
    net, x = nn.Conv2d(3, 4, 3).eval(), torch.randn(2, 3, 8, 8)
    call = engines.prepare(engine, net, x, 1)
    wanted = pose_engines.as_arrays(net(x).detach())
    assert pose_engines.difference(call(), wanted) < 1e-5
    with pytest.raises(ValueError, match=f'precision of {engine} must be one of'):
        engines.prepare(engine, net, x, 1, 'f64')


def test_litert_says_what_it_needs(monkeypatch):
    monkeypatch.setenv(litert.CONVERTER, '/nowhere')
    monkeypatch.setattr(litert.util, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='run: pip install ai-edge-litert'):
        litert.check()
    monkeypatch.setattr(litert.util, 'find_spec', lambda name: name)
    with pytest.raises(ValueError, match=f'needs {litert.CONVERTER}, the python'):
        litert.check()
    assert (
        plan(engines=('litert',), precisions=('f32',)).entries(1)[0].form == who.AS_IS
    )


@pytest.mark.slow
@pytest.mark.parametrize('name', [c.name for c in who.CONTESTANTS if c.compiles])
def test_compiled_contestants_compute_what_pytorch_computes(name, tmp_path):
    (one,) = who.choose([name])
    setting = Setting(image_size=(64, 64))
    shop = pose_engines.Workshop(one, setting)
    reference = shop.reference(1)
    shop.export(who.OPTIMIZED, 'graph', 1, tmp_path / 'network.so')
    entry = Entry(name, who.OPTIMIZED, 'native', 'f32', 1)
    images = pose_engines.random_images(1, (64, 64))
    outputs = pose_engines.load(tmp_path / 'network.so', images, entry, 1)()
    with torch.inference_mode():
        exact = shop.estimator.double()(images.double(), None, mode='tensor')
    exact = pose_engines.as_arrays(exact)
    # Random weights lift rounding; PyTorch's own is what can be asked for.
    rounding = pose_engines.difference(reference, exact)
    assert pose_engines.difference(outputs, exact) < 1e-6 + 3 * rounding < 1e-3
    with pytest.raises(ValueError, match='native computes on 1 thread, got 2'):
        pose_engines.load(tmp_path / 'network.so', images, entry, 2)


@pytest.mark.slow
def test_litert_computes_what_pytorch_computes():
    try:
        litert.check()
    except ValueError as error:
        pytest.skip(str(error))
    net, x = nn.Conv2d(3, 4, 3).eval(), torch.randn(2, 3, 8, 8)
    outputs = litert.load(litert.convert(net, x), x, 1)()
    wanted = pose_engines.as_arrays(net(x).detach())
    assert pose_engines.difference(outputs, wanted) < 1e-5


def test_outputs_that_cannot_be_compared_are_refused():
    one = np.ones((2, 3), np.float32)
    assert pose_engines.difference([one], [one * 2]) == 0.5
    with pytest.raises(RuntimeError, match='not all finite'):
        pose_engines.difference([one * np.nan], [one])
    with pytest.raises(RuntimeError, match=r'have shapes \[\(2, 3\)\], expected'):
        pose_engines.difference([one], [one[:1]])


def test_prepared_networks_are_kept(tmp_path):
    counted = {who.AS_IS: costs.Costs(1, 2, 3, 4, 5.0)}
    outputs = {1: [np.ones(3), np.zeros((2, 2))], 8: [np.ones(2), np.ones(1)]}
    pose_prepared.keep(tmp_path, 'net', counted, outputs)
    assert pose_prepared.find(tmp_path, 'net', (1, 4)) is None
    assert pose_prepared.find(tmp_path, 'another', (1,)) is None
    found, arrays = pose_prepared.find(tmp_path, 'net', (1, 8))
    assert found == counted
    for batch, values in outputs.items():
        pairs = zip(arrays[batch], values, strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    small = plan(setting=pose_engines.Setting(image_size=(64, 64)))
    here, there = (pose_prepared.place(tmp_path, p) for p in (plan(), small))
    assert here != there
    assert here == pose_prepared.place(tmp_path, plan(rounds=3))


def test_turn_is_the_median_of_calls():
    class Counting(pose_engines.Runner):
        def __init__(self, times, last):
            self.last, self.called, self.times = last, 0, iter(times)

        def call(self):
            self.called += 1

        def seconds(self):
            return next(self.times)

    short = Counting([0.003, 0.001, 0.002], last=0.01)
    assert short.turn() == 0.002
    assert short.called == 1  # its caches were cold
    long = Counting([0.1, 9], last=0.1)
    assert long.turn() == 0.1
    assert long.called == 0


needs_compiler = pytest.mark.skipif(
    shutil.which('g++') is None and shutil.which('c++') is None,
    reason='no C++ compiler here',
)


class Small(nn.Module):
    """All kinds of layers; the same depthwise convolution twice."""

    def __init__(self, groups=8):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.own = nn.Conv2d(8, 8, 3, 1, 1, groups=groups)
        self.point = nn.Conv2d(8, 20, 1)

    def forward(self, x, _=None, mode=''):
        x = self.first(x)
        x = x + self.own(self.own(x))
        x = self.point(x)
        return x * x.mean((2, 3), keepdim=True)


def test_layers_of_the_bound():
    found = bound.collect(Small().eval(), torch.randn(1, 3, 16, 12))
    assert [(layer.line, layer.kind, layer.flops) for layer in found] == [
        ('conv 3 8 3 3 2 2 1 1 1 16 12', 'dense', 2 * 48 * 8 * 27),
        ('conv 8 8 3 3 1 1 1 1 8 8 6', 'depthwise', 2 * 48 * 8 * 9),
        ('sum 8 8 6', 'sum', 48 * 8),
        ('conv 8 20 1 1 1 1 0 0 1 8 6', 'pointwise', 2 * 48 * 8 * 20),
        ('gate 20 8 6', 'gate', 48 * 20),
    ]
    with pytest.raises(ValueError, match='got 2 groups of 8 channels'):
        bound.collect(Small(groups=2).eval(), torch.randn(1, 3, 16, 12))
    with pytest.raises(ValueError, match='convolutions only, the network has bmm'):
        bound.collect(Twice().eval(), torch.randn(1, 3, 4, 6))


@needs_compiler
def test_loops_of_the_bound_compute_convolutions(tmp_path):
    program = bound.compile_loops(tmp_path)
    done = subprocess.run([program, '--check'], capture_output=True, check=False)
    assert done.returncode == 0
    assert float(done.stdout) < 1e-5
    layers = bound.collect(Small().eval(), torch.randn(1, 3, 16, 12))
    times, peak = bound.run_loops(program, layers, 3)
    assert len(times) == 3
    for one in times:
        assert set(one) == {'pointwise', 'depthwise', 'dense', 'gate', 'sum', 'all'}
        parts = sum(seconds for kind, seconds in one.items() if kind != 'all')
        assert one['all'] == pytest.approx(parts, rel=1e-3)
    assert peak > 1
    wrong = [replace(layers[0], line='conv 8 8 3 3 1 1 1 1 2 8 6')]
    with pytest.raises(ValueError, match='cannot read: conv 8 8'):
        bound.run_loops(program, wrong, 1)


def test_bound_says_that_it_needs_a_compiler(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    with pytest.raises(ValueError, match=r'needs a C\+\+ compiler; install g\+\+'):
        bound.compile_loops(tmp_path)


def call(*arguments):
    """Run the tool; returns what became of it."""
    return subprocess.run(
        [sys.executable, '-W', 'ignore', 'tools/benchmark.py', *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.mark.slow
def test_run_goes_on_when_a_contestant_fails(tmp_path):
    """TokenPose takes images of one size only, and these have another."""
    pytest.importorskip('openvino')
    out, readme = tmp_path / 'out', tmp_path / 'README.md'
    readme.write_text(f'{BEGIN.replace("n -->", "n tables -->")}{END}')
    done = call(
        'litehrnet-18', 'shufflenetv2', 'tokenpose-t', '--engines', 'eager,openvino',
        '--precisions', 'f32', '--batch', 1, 2, '--rounds', 2, '--warmup', 1, '--group',
        4, '--input-size', 64, 64, '--cpu-time', '--baseline', 'shufflenetv2', '--out',
        out, '--update-readme', readme, '--keep', tmp_path / 'kept',
    )  # fmt: skip
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    found = Results.from_data(json.loads((out / 'results.json').read_text()))
    assert list(found.errors) == ['tokenpose-t']
    assert 'ValueError' in found.errors['tokenpose-t']
    assert len(found.rows) == 2 * (2 + 4)
    for one in found.rows:
        assert one.error is None
        assert sorted(one.seconds) == [0, 1]
        assert one.difference < 1e-4
        assert one.megabytes is None or 1 < one.megabytes < 2000
    kept = [path.name for path in tmp_path.glob('kept/64x64_*/litehrnet-18*')]
    assert sorted(kept) == [
        'litehrnet-18.json', 'litehrnet-18_1.npz', 'litehrnet-18_2.npz',
        'litehrnet-18_as-is_1.onnx', 'litehrnet-18_as-is_2.onnx',
        'litehrnet-18_optimized_openvino_1.onnx',
        'litehrnet-18_optimized_openvino_2.onnx',
    ]  # fmt: skip
    mine = found.costs['litehrnet-18']
    assert mine[who.OPTIMIZED].operators < mine[pose_engines.FOLDED].operators
    text = (out / 'results.md').read_text()
    assert '### Latency, ms, batch 2' in text
    assert 'Processor time, not time on the clock' in text
    assert re.search(r'\| tokenpose-t +\|', text)
    assert text.split('\n\n', 1)[1].strip() in readme.read_text()
    # Published AP is that of larger images.
    assert not (out / 'pareto.png').exists()
    again = call('--reuse', '--out', out)
    assert again.returncode == 1
    assert (out / 'results.md').read_text() == text


@pytest.mark.slow
def test_gains_training_step_and_bound_alone(tmp_path):
    pytest.importorskip('onnxruntime')
    done = call(
        'xhrnet-p18', '--only', '--gains', 'naive-litehrnet-18', '--time-gains',
        '--engines', 'onnxruntime', '--training', '--input-size', 64, 64, '--rounds', 2,
        '--cpu-time', '--out', tmp_path,
        *(['--bound'] if shutil.which('g++') else []),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = Results.from_data(json.loads((tmp_path / 'results.json').read_text()))
    assert not found.rows
    first, *_, last = found.extras['gains']['counts']['naive-litehrnet-18'][
        'onnxruntime'
    ]
    assert last['operators'] < first['operators']
    assert last['difference'] < 1e-10
    forms = [r.entry.form for r in found.gain_rows]
    assert forms[0] == who.AS_IS
    assert forms[1:] == list(list_passes('onnxruntime'))
    assert 'Gain per rewrite: Naive Lite-HRNet-18, for onnxruntime' in done.stdout
    training = found.extras['training']
    assert training['ratio']['low'] > 0
    assert set(training['networks']) == {'mmpose-litehrnet-18', 'litehrnet-18'}
    if 'bound' in found.extras:
        parts = found.extras['bound']['parts']
        # Convolutions of Lite-HRNet-18, each once.
        assert sum(one['count'] for k, one in parts.items() if 'conv' in k) == 301


@pytest.mark.slow
def test_wrong_command_lines_are_answered(tmp_path):
    done = call('litehrnet-19', '--out', tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no contestant 'litehrnet-19'")
    assert not list(tmp_path.iterdir())
    readme = Path(tmp_path / 'README.md')
    readme.write_text('no markers')
    done = call('litehrnet-18', '--update-readme', readme, '--out', tmp_path)
    assert done.returncode == 1
    assert 'must have markers' in done.stderr
    done = call('litehrnet-18', '--prepare', '--out', tmp_path)
    assert done.returncode == 1
    assert '--prepare needs --keep FOLDER' in done.stderr
    assert list(tmp_path.iterdir()) == [readme]
    done = call('--list')
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()][: len(NAMES)] == NAMES


def test_digits_follow_the_size():
    assert middle_half(Spread(1.234, 1.2, 1.3)) == '1.23 (1.20–1.30)'
    assert middle_half(Spread(123.4, 120, 130)) == '123.4 (120.0–130.0)'
    assert middle_half(Spread(1234.5, 1200, 1300)) == '1234 (1200–1300)'
