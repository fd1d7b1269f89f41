"""Published weights against published figures: verdicts, and what is tested how."""

from __future__ import annotations

import json
import re
import sys

import pytest
import torch
from conftest import ROOT
from safetensors.torch import save_file

from mmpose_lite import mim
from mmpose_lite.loading import build_model, read_config
from mmpose_lite.zoo import DETECTOR, GROUND_TRUTH, NARROW, find_model, list_models

sys.path.insert(0, str(ROOT / 'tools'))
import check_published
from check_published import PARTS, Result, judge, known, report

TINYPOSE = 'wider_naive_litehrnet18_tinypose_256_192.pth'
# Logs the figures of a test, and what it was called with.
FAKE_MIM = """
import json, pathlib, sys
work_dir = pathlib.Path(sys.argv[sys.argv.index('--work-dir') + 1])
run = work_dir / '20260101_000000'
run.mkdir(exist_ok=True)
figures = {'coco/AP': .6, 'coco/AP .5': .8, 'coco/AP .75': .7, 'coco/AR': .65}
(run / '20260101_000000.json').write_text(json.dumps(figures))
(work_dir.parent / 'call.txt').write_text('\\n'.join(sys.argv))
"""


@pytest.mark.parametrize('model', list_models(), ids=lambda model: model.name)
def test_files_of_published_names_have_their_own_figures(model):
    for file in model.files:
        for name in file.names:
            for suffix in ('.pth', '.safetensors', '.pth.tar'):
                found = known(model, f'folder/{name}{suffix}')
                file = next(one for one in model.files if name in one.names)
                assert found.published == (file.metrics or model.metrics)
                assert found.boxes == (
                    GROUND_TRUTH if model.data == 'MPII' else file.boxes
                )
    other = known(model, 'epoch_210.pth')
    assert (other.published, other.source) == (model.metrics, model.source)


def test_a_published_files_own_figures_come_first():
    model = find_model('litehrnet-18')
    official = known(model, 'litehrnet_18_coco_256x192.pth')
    of_mmpose = known(model, 'litehrnet18_coco_256x192-6bace359_20211230.pth')
    assert (official.published['AP'], of_mmpose.published['AP']) == (0.648, 0.642)
    assert 'README' in official.source
    assert 'MMPose' in of_mmpose.source
    tinypose = known(find_model('tinypose-256x192'), TINYPOSE)
    assert (tinypose.boxes, official.boxes) == (NARROW, DETECTOR)
    assert 'of 2021' in tinypose.source
    later = known(find_model('tinypose-256x192'), 'tinypose-256x192-2022')
    assert later.published == {'AP': 0.683}


@pytest.mark.parametrize(
    ('measured', 'tolerance', 'verdict'),
    [
        (0.648, 0.0, 'agrees'),
        (0.653, 0.5, 'agrees'),
        (0.643, 0.5, 'agrees'),
        (0.6531, 0.5, 'deviates'),
        (0.6429, 0.5, 'deviates'),
        (0.640, 1.0, 'agrees'),
        (float('nan'), 1.0, 'deviates'),
    ],
)
def test_tolerance_is_in_points_and_either_way(measured, tolerance, verdict):
    result = Result('m', 'f', DETECTOR, '', {'AP': 0.648}, {'AP': measured})
    judge(result, tolerance)
    assert result.verdict == verdict
    assert ('allowed' in result.why) == (verdict == 'deviates')


def test_every_published_metric_counts():
    measured = {'AP': 0.5, 'AR': 0.58, 'AP@0.5': 0.9}
    published = ('a paper', {'AP': 0.5, 'AR': 0.6})
    result = Result('model', 'a/file.pth', DETECTOR, *published, measured)
    result.used = NARROW
    judge(result, 0.5)
    assert result.verdict == 'deviates'
    assert result.deviations == pytest.approx({'AP': 0, 'AR': -2})
    text = report([result])
    assert (
        f'| model (file.pth) | {NARROW} | AR | 58.0 | 60.0 | -2.00 | deviates |' in text
    )
    assert f'| model (file.pth) | {NARROW} | AP@0.5 | 90.0 | – | – | deviates |' in text
    assert 'AR by -2.00 points, allowed 0.5. Published: a paper' in text


@pytest.mark.parametrize(
    ('published', 'missing', 'verdict'),
    [
        ({'AP': 0.5}, '32 images', 'not comparable'),
        ({}, '', 'nothing published'),
        ({}, '32 images', 'nothing published'),
    ],
)
def test_what_is_not_judged(published, missing, verdict):
    result = Result('m', 'f', DETECTOR, '', published, {'AP': 0.9})
    judge(result, 0.5, missing)
    assert (result.verdict, result.why) == (verdict, missing if published else '')


def coco(root, images=3):
    """Annotations of so many images, without the images."""
    (root / 'annotations').mkdir(parents=True)
    (root / 'val2017').mkdir()
    content = json.dumps(dict(images=[dict(id=i) for i in range(images)]))
    (root / PARTS['COCO'].annotations).write_text(content)
    return root


def test_only_the_whole_of_the_data_compares(tmp_path):
    part = PARTS['COCO']
    assert part.missing(coco(tmp_path / 'whole', 5000)) == ''
    said = part.missing(coco(tmp_path / 'part', 4999))
    assert said == '4999 of 5000 in the data'
    with pytest.raises(ValueError, match=r'lacks .*mpii_val\.json, .*mpii_gt_val\.mat'):
        PARTS['MPII'].missing(tmp_path)


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """The tool in this process; its exit code, results and output."""

    def call(*words):
        loader = ('num_workers=0', 'persistent_workers=False')
        options = [f'test_dataloader.{change}' for change in loader]
        words = ('--out', tmp_path / 'out', '--cfg-options', *options, *words)
        monkeypatch.setattr(sys, 'argv', ['check_published.py', *map(str, words)])
        code = check_published.main()
        content = json.loads((tmp_path / 'out' / 'results.json').read_text())
        return code, content['results'], capsys.readouterr().out

    return call


def test_any_layout_goes_through_and_strangers_fail(check, tmp_path, monkeypatch):
    """One network twice, in two layouts, and weights of another one."""
    fake = tmp_path / 'mim'
    fake.write_text(FAKE_MIM)
    monkeypatch.setattr(mim, 'MIM', (sys.executable, str(fake)))
    model = build_model(read_config(find_model('tinypose-128x96').config))
    state = model.state_dict()
    older = {k.replace('head.', 'keypoint_head.', 1): v for k, v in state.items()}
    save_file(older, tmp_path / 'tinypose_128_96.safetensors')
    torch.save({'state_dict': state}, tmp_path / 'own.pth')
    boxes = tmp_path / 'boxes.json'
    boxes.write_text('[]')
    words = ['--coco', coco(tmp_path / 'coco'), '--detections', boxes]
    for model, file in (
        ('tinypose-128x96', 'tinypose_128_96.safetensors'),
        ('naive-litehrnet-18', 'own.pth'),
        ('tinypose-128x96', 'own.pth'),
    ):
        words += ['--model', model, '--weights', tmp_path / file]
    code, (first, failed, last), said = check(*words)
    assert code == 1
    assert failed['verdict'] == 'failed'
    assert 'do not fit the model' in failed['why']
    assert first['layout'] == 'MMPose 0.x: Lite-HRNet, X-HRNet'
    assert first['published'] == {'AP': 0.581}
    assert first['why'] == '3 of 5000 in the data'
    assert (last['layout'], last['verdict']) == ('mmpose_lite', 'nothing published')
    assert (
        last['measured']
        == first['measured']
        == {'AP': 0.6, 'AP@0.5': 0.8, 'AP@0.75': 0.7, 'AR': 0.65}
    )
    assert said.count('| 60.0 |') == 2
    call = (tmp_path / 'out' / 'call.txt').read_text()
    assert f'test_dataloader.dataset.bbox_file={boxes}' in call
    assert f'test_evaluator.ann_file={tmp_path}/coco/annotations/person' in call

    words = [*words[:2], *words[-4:]]
    assert check(*words)[0] == 0
    call = (tmp_path / 'out' / 'call.txt').read_text()
    assert 'test_dataloader.dataset.bbox_file=None' in call

    # The whole of the data, but not the boxes that the figures were published with.
    model = build_model(read_config(find_model('litehrnet-18').config))
    torch.save(model.state_dict(), tmp_path / 'lite.pth')
    words = ('--model', 'litehrnet-18', '--weights', tmp_path / 'lite.pth')
    code, (found,), _ = check('--coco', coco(tmp_path / 'whole', 5000), *words)
    assert (code, found['verdict']) == (0, 'not comparable')
    assert found['why'] == 'published with other boxes: detector'


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--coco', 'absent'], 'error: .*absent lacks annotations'),
        (['--model', 'xhrnet-s18'], 'every --model must have its --weights'),
        (['--detections', 'd', '--ground-truth-boxes'], 'not allowed with'),
        (['--detections', 'd'], '--detections d is no file'),
        (['--model', 'litehrnet-19', '--weights', 'b'], 'there is no model'),
    ],
)
def test_wrong_arguments_give_one_clear_error(check, capsys, words, message):
    words = ('--model', 'litehrnet-18', '--weights', 'a.pth', *words)
    with pytest.raises(SystemExit) as stopped:
        check(*words)
    # argparse prints its errors itself.
    assert re.search(message, f'{stopped.value}{capsys.readouterr().err}')


@pytest.mark.slow
def test_real_weights_on_real_images(shared, check):
    """The figures are those measured by hand through mim."""
    words = ('--coco', shared / 'data' / 'coco_mini', '--model', 'tinypose-256x192')
    words = (*words, '--weights', shared / 'weights' / TINYPOSE)
    for rule, boxes, expected in (
        ((), NARROW, 0.6722),  # as PaddleDetection itself evaluates them
        (('--ground-truth-boxes',), GROUND_TRUTH, 0.6703),
    ):
        code, (found,), said = check(*words, *rule)
        assert (code, found['verdict']) == (0, 'not comparable')
        assert found['measured']['AP'] == pytest.approx(expected, abs=0.0005)
        assert found['published'] == {'AP': 0.688}
        assert f'| {boxes} | AP |' in said


@pytest.mark.slow
def test_mpii(shared, check, tmp_path):
    name = 'naive-litehrnet-18-mpii'
    weights = tmp_path / 'epoch_210.pt'
    torch.save(build_model(read_config(find_model(name).config)).state_dict(), weights)
    words = ('--mpii', shared / 'data' / 'mpii_mini', '--model', name)
    code, (found,), _ = check(*words, '--weights', weights)
    assert (code, found['verdict'], found['boxes']) == (
        0, 'not comparable', GROUND_TRUTH,
    )  # fmt: skip
    assert set(found['measured']) == {'PCKh@0.5', 'PCKh@0.1', 'PCKh@0.11'}
    assert found['measured']['PCKh@0.1'] <= found['measured']['PCKh@0.11']
    # What the research code calls PCKh@0.1.
    assert set(found['published']) == {'PCKh@0.5', 'PCKh@0.11'}
    assert all(0 <= value <= 1 for value in found['measured'].values())
    assert found['published']['PCKh@0.11'] == pytest.approx(0.305)
