"""The benchmark: who takes part, what is compared with what, and what is written."""

import json
import re

import cv2
import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT
from torch import nn

from mmpose_lite.analysis import Spread, timing
from mmpose_lite.benchmark import contestants as who
from mmpose_lite.benchmark import picture, rows, running, tables
from mmpose_lite.benchmark.rows import AS_IS, OPTIMIZED, STRAIGHTFORWARD, Row
from mmpose_lite.cli import main
from mmpose_lite.deploy import list_passes, to_onnx
from mmpose_lite.io.markdown import marked

NAMES = [one.name for one in who.CONTESTANTS]
THEIRS, MINE = 'mmpose-litehrnet-18', 'litehrnet-18'


def row_of(name, form, engine, ms, group=0, batch=1, **options):
    """A row whose rounds all took about ``ms``."""
    seconds = {n: 1e-3 * ms * (1 + 0.1 * n) for n in range(3)}
    options = dict(seconds=seconds, group=group) | options
    return Row(name, form, engine, 'f32', batch, **options)


def measured(*given, steps=False):
    """Results of three networks, the third without AP, in two groups."""
    header = dict(
        date='2026-01-02T03:04:05+00:00', cpu='A CPU', cores=2, threads=1,
        image_size=[256, 192], rounds=3, warmup=1, steps=steps, load_average=0.0,
        versions=dict(torch='2'),
    )  # fmt: skip
    networks = {
        THEIRS: dict(title='Theirs', ours=False, ap=64.2),
        MINE: dict(title='Mine', ours=True, ap=64.8),
        'xhrnet-s18': dict(title='Nameless', ours=True, ap=None),
    }
    default = (
        row_of(THEIRS, STRAIGHTFORWARD, 'openvino', 24, megabytes=50.0),
        row_of(THEIRS, AS_IS, 'openvino', 20),
        row_of(THEIRS, AS_IS, 'eager', 90),
        row_of(MINE, AS_IS, 'openvino', 16),
        row_of(MINE, OPTIMIZED, 'openvino', 8, difference=1e-6),
        row_of(MINE, OPTIMIZED, 'eager', 50),
        row_of(THEIRS, STRAIGHTFORWARD, 'openvino', 30, group=1),
        row_of('xhrnet-s18', OPTIMIZED, 'openvino', 10, group=1),
        row_of('xhrnet-s18', AS_IS, 'eager', 0, group=1, seconds={}, error='a|b'),
        row_of(THEIRS, AS_IS, 'training', 3000, group=2, batch=16),
        row_of(MINE, AS_IS, 'training', 2000, group=2, batch=16, megabytes=9.0),
    )
    return rows.Results(header, THEIRS, networks, list(given or default))


def cells(table, line):
    """Cells of the table line that begins so."""
    found = next(t for t in table.splitlines() if t.startswith(f'| {line}'))
    return [cell.strip() for cell in found.strip('|').split('|')][1:]


def test_contestants_are_chosen_by_name_pattern_and_config():
    chosen = who.choose(['xhrnet-*', 'LiteHRNet-18', 'rtmpose-t', 'hrnas-supernet'])
    # In the table's order, whatever was typed first.
    assert [c.name for c in chosen[:-1]] == [
        *('litehrnet-18', 'rtmpose-t', 'xhrnet-s18', 'xhrnet-s30', 'xhrnet-p18')
    ]
    assert chosen[-1].path.name == 'td-hm_hrnas-supernet_8xb48-210e_coco-256x192.py'
    assert [c.name for c in who.choose()] == NAMES
    assert len(set(NAMES)) == len(NAMES)
    with pytest.raises(ValueError, match=r"'xhrnet-18', .*nearest: \['xhrnet-[sp]18'"):
        who.choose(['xhrnet-18'])


@pytest.mark.parametrize('one', who.CONTESTANTS, ids=NAMES)
def test_every_contestant_has_a_config_for_the_same_images(one):
    # What was searched for smaller images computes on these as well.
    assert one.path.stem.endswith('coco-256x192') or 'searched' in one.name


def test_published_accuracy_comes_from_metafiles():
    found = {c.name: who.published_ap(c) for c in who.CONTESTANTS}
    assert found[THEIRS] == 64.2
    assert found[MINE] == 64.8
    assert found['rtmpose-t'] == 68.2
    assert found['hrnet-w32'] == 74.6
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
        outputs = estimator(running.random_images(1, size), None, mode='tensor')
    for array in running.as_arrays(outputs):
        assert np.isfinite(array).all()
        # Neither vanished nor exploded, as it would be without statistics.
        assert 1e-4 < array.std() < 1e4


def test_building_is_repeatable():
    (one,) = who.choose(['shufflenetv2'])
    first, second = (
        who.settle(who.build(one), (64, 64)).state_dict() for _ in range(2)
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


def planned(words=('eager', 'onnxruntime', 'openvino', 'native', 'training'), **more):
    columns = tuple(
        (word, precision)
        for word in words
        for precision in rows.ENGINES[word].precisions
    )
    return rows.Plan(who.choose([THEIRS, MINE, 'rtmpose-t']), columns, THEIRS, **more)


def test_rows_of_a_plan():
    first, second, training = planned(batches=(8, 1)).groups()
    assert [r.key[1:] for r in first if r.network == THEIRS] == [
        (AS_IS, 'eager', 'f32', 1),
        (STRAIGHTFORWARD, 'onnxruntime', 'f32', 1),
        (AS_IS, 'onnxruntime', 'f32', 1),
        (STRAIGHTFORWARD, 'openvino', 'f32', 1),
        (AS_IS, 'openvino', 'f32', 1),
        (STRAIGHTFORWARD, 'openvino', 'bf16', 1),
        (AS_IS, 'openvino', 'bf16', 1),
    ]
    native = [r.key for r in second if r.engine == 'native']
    assert native == [(MINE, OPTIMIZED, 'native', 'f32', 8)]
    assert len(first) == len(second) == 7 + 2 * 4 + 1 + 4
    assert [(r.network, r.batch) for r in training] == [(THEIRS, 16), (MINE, 16)]


def test_groups_hold_contestants_together_beside_the_baseline():
    groups = planned().groups(size=15)
    assert [list(dict.fromkeys(r.network for r in group)) for group in groups] == [
        [THEIRS, MINE], [THEIRS, 'rtmpose-t'], [THEIRS, MINE],
    ]  # fmt: skip
    assert [{r.group for r in group} for group in groups] == [{0}, {1}, {2}]
    without = planned().groups([THEIRS, MINE])
    assert [r.network for group in without for r in group] == ['rtmpose-t'] * 4


def test_rows_of_the_passes():
    (found,) = planned(('eager', 'openvino', 'native'), steps=True).groups()
    for engine in ('eager', 'openvino'):
        mine = [r for r in found if (r.network, r.column) == (MINE, (engine, 'f32'))]
        assert [r.form for r in mine] == [AS_IS, *list_passes(engine)]
    assert 'native' not in {r.engine for r in found}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(rounds=0), 'must be at least 1, got 1, 0 and'),
        (dict(batches=(1, 0)), r'must be at least 1, got .* \(1, 0\)'),
    ],
)
def test_wrong_plans_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        planned(**options)
    with pytest.raises(ValueError, match=r"must take part, .*got 'hrnet-w32'"):
        rows.Plan(who.choose([MINE]), (), 'hrnet-w32')


def test_engines_are_chosen_with_their_precisions(monkeypatch):
    assert rows.choose_engines(['openvino', 'eager', 'openvino:bf16']) == (
        ('openvino', 'f32'), ('openvino', 'bf16'), ('eager', 'f32'),
    )  # fmt: skip
    for wrong in ('ncnn', 'eager:bf16'):
        with pytest.raises(ValueError, match=rf"one of \['eager:f32'.*got '{wrong}'"):
            rows.choose_engines([wrong])
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(ValueError, match='engine native: no C'):
        rows.choose_engines(['native'])
    monkeypatch.setattr(timing, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='run: pip install onnx openvino'):
        rows.choose_engines(['openvino'])


def test_rows_are_compared_with_the_baseline_of_their_rounds():
    found = measured()
    by_key = {(r.network, r.form, r.engine): r for r in found.rows}
    mine = by_key[MINE, OPTIMIZED, 'openvino']
    # Exported rows with the straightforward export, of the same group.
    assert found.rival(mine) is found.rows[0]
    assert found.rival(by_key[MINE, OPTIMIZED, 'eager']) is found.rows[2]
    assert found.rival(by_key['xhrnet-s18', OPTIMIZED, 'openvino']) is found.rows[6]
    assert rows.fastest(found.good(1)) is mine
    assert rows.fastest([]) is None
    assert [r.network for r in found.good()] == [THEIRS, MINE]
    assert found.failed
    assert not measured(row_of(MINE, AS_IS, 'eager', 1)).failed


def test_tables_hold_medians_spreads_and_ratios():
    found = measured()
    latency, ratios, memory, _ = tables.grids(found, 1)
    assert cells(latency, 'network') == ['openvino f32', 'eager f32']
    # Rounds of 8, 8.8 and 9.6 ms.
    assert cells(latency, 'Mine, optimized') == [
        '8.80 (8.40–9.20)', '55.0 (52.5–57.5)',
    ]  # fmt: skip
    assert cells(latency, 'Theirs, straightforward')[1] == '–'
    assert cells(latency, 'Nameless, as is')[1] == 'failed'
    assert 'Times as fast as Theirs, exported straightforwardly,' in ratios
    assert cells(ratios, 'Mine, optimized')[0] == '3.00 (3.00–3.00)'
    assert cells(ratios, 'Theirs, as is') == ['1.20 (1.20–1.20)', '1.00 (1.00–1.00)']
    assert cells(ratios, 'Nameless, optimized')[0] == '3.00 (3.00–3.00)'
    # The baseline's own best here is not its straightforward export.
    assert cells(tables.best_table(found, 1), 'Mine') == [
        OPTIMIZED, 'openvino', '8.80 (8.40–9.20)', '2.50 (2.50–2.50)',
    ]  # fmt: skip
    assert cells(memory, 'Theirs, straightforward') == ['50', '–']
    assert cells(tables.training_table(found), 'Mine') == [
        '2.20 (2.10–2.30)', '1.50 (1.50–1.50)', '9',
    ]  # fmt: skip
    assert r'a\|b' in tables.failure_table(found)
    assert '1e-06 (litehrnet-18)' in tables.difference_text(found)
    assert tables.middle_half(Spread(1234.5, 1200, 1300)) == '1234 (1200–1300)'


def test_gain_tables_join_counts_and_times():
    steps = [
        dict(name=name, traffic=dict(operators=n, bytes=0), megabytes=10.0 * n,
             difference=0, difference_f32=0)
        for name, n in (('as trained', 9), ('fold norms', 6))
    ]  # fmt: skip
    found = measured(
        row_of(MINE, AS_IS, 'openvino', 12),
        row_of(MINE, 'fold norms', 'openvino', 8),
        row_of(MINE, AS_IS, 'eager', 12),
        steps=True,
    )
    found.networks[MINE]['gains'] = dict(openvino=steps)
    text = tables.report(found)
    assert 'Gain per pass: Mine, for openvino' in text
    assert cells(text, 'fold norms') == [
        '6', '60', '0', '0', '8.80 (8.40–9.20)', '1.50 (1.50–1.50)',
    ]  # fmt: skip
    found.rows[1] = row_of(MINE, 'fold norms', 'openvino', 0, seconds={}, error='odd')
    text = tables.report(found)
    assert cells(text, 'fold norms')[4:] == ['–', '–']
    assert 'odd' in text


def test_documents_are_changed_between_their_markers_only(tmp_path):
    page = tmp_path / 'page.md'
    summary, gains = (
        f'<!-- begin benchmark {name} -->\nold\n<!-- end benchmark {name} -->'
        for name in ('summary', 'gains')
    )
    page.write_text(f'before\n{summary}\nbetween {gains}\nafter\n')
    tables.update_document(page, None)
    tables.update_document(page, measured())
    text = page.read_text()
    assert marked(text, 'benchmark summary').startswith('2026-01-02, A CPU (2 cores)')
    assert '### Each on its best engine' in text
    assert '### Training step' in text
    assert '### Latency' not in text
    # What each pass gains was not measured this time.
    assert text.endswith(f'<!-- end benchmark summary -->\nbetween {gains}\nafter\n')
    tables.update_document(page, measured())
    # A run without figures leaves those that are there.
    tables.update_document(page, measured(row_of(MINE, AS_IS, 'eager', 0, seconds={})))
    assert page.read_text() == text
    assert list(tmp_path.iterdir()) == [page]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('nothing', 'must have markers of one of'),
        (
            '<!-- begin benchmark gains -->',
            'and then <!-- end benchmark gains --> once',
        ),
    ],
)
def test_documents_with_wrong_markers_are_left_alone(tmp_path, text, message):
    page = tmp_path / 'page.md'
    page.write_text(text)
    with pytest.raises(ValueError, match=message):
        tables.update_document(page, measured())
    assert page.read_text() == text


def test_published_tables_agree_with_each_other():
    """The READMEs show a part of what docs/benchmark.md has."""
    english, chinese = (
        marked((ROOT / name).read_text(encoding='utf-8'), 'benchmark summary')
        for name in ('README.md', 'README_zh-CN.md')
    )
    page = (ROOT / 'docs' / 'benchmark.md').read_text(encoding='utf-8')
    whole = marked(page, 'benchmark tables').splitlines()
    assert english == chinese
    assert set(english.splitlines()) <= set(whole)
    rows = {c.title for c in who.CONTESTANTS}
    best = re.search(r'### Each on its best.*?\n\n(.*?)\n\n', english, re.DOTALL)[1]
    assert {line.split('|')[1].strip() for line in best.splitlines()[2:]} == rows
    marked(page, 'benchmark gains')


def test_picture_shows_networks_with_published_accuracy():
    found, without = picture.points(measured())
    assert [(p.title, round(p.ms, 1), p.ap) for p in found] == [
        ('Theirs', 22.0, 64.2), ('Mine', 8.8, 64.8),
    ]  # fmt: skip
    assert without == ['Nameless']
    assert [p.title for p in picture.front(found)] == ['Mine']
    drawn = np.frombuffer(picture.plot_pareto(measured()), np.uint8)
    assert cv2.imdecode(drawn, cv2.IMREAD_COLOR).shape == (720, 1080, 3)
    with pytest.raises(ValueError, match='needs a network'):
        picture.plot_pareto(measured(row_of('xhrnet-s18', AS_IS, 'eager', 9)))


def test_front_leaves_out_what_is_slower_and_not_better():
    drawn = [
        picture.Point(str(n), ms, ap, True)
        for n, (ms, ap) in enumerate([(5, 60), (6, 59), (6, 61), (9, 61), (20, 70)])
    ]
    assert [p.title for p in picture.front(drawn)] == ['0', '2', '4']


def test_straightforward_export_leaves_norms_in():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    x = torch.randn(2, 3, 5, 5)
    plain, folded = (
        [node.op_type for node in onnx.load_from_string(data).graph.node]
        for data in (
            running.export_straightforwardly(net, x), to_onnx(net, x, batch=2)
        )
    )  # fmt: skip
    # Initial values that are equal are shared through an Identity.
    assert [n for n in plain if n != 'Identity'] == ['Conv', 'BatchNormalization']
    assert folded == ['Conv']


@pytest.mark.slow
@pytest.mark.parametrize('name', [c.name for c in who.CONTESTANTS if c.compiles])
def test_compiled_contestants_compute_what_pytorch_computes(name, tmp_path):
    (one,) = who.choose([name])
    plan = rows.Plan((one,), (('native', 'f32'),), name, image_size=(64, 64))
    prepared = running.prepare(one, plan, tmp_path)
    (row,) = plan.rows(one)
    compiled = running.RowBench(row, plan, prepared)
    images = running.random_images(1, (64, 64))
    exact = who.settle(who.build(one), (64, 64)).double()
    exact = running.as_arrays(running.in_eager(exact, images.double())())
    # Random weights lift rounding; PyTorch's own is what can be asked for.
    rounding = running.relative_difference(prepared.references[1], exact)
    outputs = running.as_arrays(compiled.calls[0]())
    assert running.relative_difference(outputs, exact) < 1e-6 + 3 * rounding < 1e-3


def test_a_gpu_needs_a_torch_built_for_it():
    if torch.backends.cuda.is_built():
        assert rows.choose_engines(['cuda']) == (('cuda', 'f32'), ('cuda', 'f16'))
    else:
        with pytest.raises(ValueError, match='needs a torch built for CUDA'):
            rows.choose_engines(['cuda'])
    assert 'cuda' not in dict(rows.choose_engines(['eager', 'openvino']))


def test_run_goes_on_when_a_contestant_fails(tmp_path, capsys):
    """TokenPose takes images of one size only, and these have another."""
    out, page = tmp_path / 'out', tmp_path / 'page.md'
    page.write_text('<!-- begin benchmark tables --><!-- end benchmark tables -->')
    code = main(
        [
            *('benchmark', 'litehrnet-18', 'shufflenetv2', 'tokenpose-t', '--engines'),
            *('eager', 'onnxruntime', 'training', '--batch', '1', '2', '--rounds', '2'),
            *('--input-size', '64', '64', '--baseline', 'shufflenetv2'),
            *('--out', str(out), '--update', str(page)),
        ]
    )
    assert code == 1
    found = json.loads((out / 'results.json').read_text())
    errors = {name: about.get('error') for name, about in found['networks'].items()}
    assert [name for name, error in errors.items() if error] == ['tokenpose-t']
    assert 'feats must end in a map' in errors['tokenpose-t']
    assert len(found['rows']) == 2 * (2 + 4) + 1
    for one in found['rows']:
        assert one['error'] is None
        # Slow rows are not called in every round.
        assert list(one['seconds']) in (['0'], ['0', '1'])
        assert (one['difference'] is None) == (one['engine'] == 'training')
        assert one['difference'] is None or one['difference'] < 1e-4
        assert one['megabytes'] is None or 1 < one['megabytes'] < 2000
    costs = found['networks']['litehrnet-18']['costs']
    assert costs['operators_optimized'] < costs['operators']
    assert 1e6 < costs['params'] < 1.2e6
    assert {'cpu', 'load_average', 'versions'} <= set(found['header'])
    text = (out / 'results.md').read_text()
    assert '### Latency, ms, batch 2' in text
    assert '### Training step' in text
    assert re.search(r'\| tokenpose-t +\|', text)
    assert text.split('\n\n', 1)[1].strip() in page.read_text()
    assert '### Failed' in capsys.readouterr().out


@pytest.mark.slow
def test_passes_are_counted_and_timed(tmp_path):
    code = main(
        [
            *('benchmark', 'naive-litehrnet-18', '--steps', '--engines', 'onnxruntime'),
            *('--input-size', '64', '64', '--rounds', '2', '--out', str(tmp_path)),
        ]
    )
    assert code == 0
    found = json.loads((tmp_path / 'results.json').read_text())
    assert [r['form'] for r in found['rows']] == [AS_IS, *list_passes('onnxruntime')]
    first, *_, last = found['networks']['naive-litehrnet-18']['gains']['onnxruntime']
    assert last['traffic']['operators'] < first['traffic']['operators']
    assert last['difference'] < 1e-10
    text = (tmp_path / 'results.md').read_text()
    assert 'Gain per pass: Naive Lite-HRNet-18, for onnxruntime' in text


def test_wrong_command_lines_are_answered(tmp_path, capsys):
    def failing(*words):
        with pytest.raises(SystemExit) as failed:
            main(['benchmark', *words, '--out', str(tmp_path / 'out')])
        assert failed.value.code == 2
        return capsys.readouterr().err

    assert failing('litehrnet-19').startswith("error: there is no contestant 'litehr")
    page = tmp_path / 'README.md'
    page.write_text('no markers')
    words = ('litehrnet-18', '--engines', 'eager', '--update', str(page))
    assert 'must have markers' in failing(*words)
    assert list(tmp_path.iterdir()) == [page]
    assert main(['benchmark', '--list']) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == NAMES
