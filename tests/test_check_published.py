"""Published weights against published figures: names, verdicts, the whole tool."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from safetensors.torch import save_file

from mmpose_lite.data import generate_toy_coco

sys.path.insert(0, str(ROOT / 'tools'))
import check_published
from published import data as data_sets
from published.data import Data, open_coco, open_mpii
from published.found import Found, assign, weight_files
from published.verdicts import judge, report
from zoo.metafiles import DETECTOR, GROUND_TRUTH, Model, PublishedFile, families

MODELS_OF_ZOO = [model for family in families() for model in family.models]
TINYPOSE = 'wider_naive_litehrnet18_tinypose_{}.pth'


# --- Names ----------------------------------------------------------------------------


@pytest.mark.parametrize('model', MODELS_OF_ZOO, ids=lambda model: model.name)
def test_every_name_of_the_zoo_leads_to_its_model(model):
    names = [model.name, *model.aliases, *(n for f in model.files for n in f.names)]
    for name in names:
        for file in (f'{name}.pth', f'{name.upper()}.pt', f'{name}.pth.tar'):
            assert assign(Path('folder') / file, MODELS_OF_ZOO).model is model
    for file in model.files:
        for name in file.names:
            assert assign(Path(f'{name}.safetensors'), MODELS_OF_ZOO).file is file


@pytest.mark.parametrize(
    ('path', 'alias'),
    [
        ('litehrnet18.pth', 'litehrnet-18'),
        ('LiteHRNet18_mpii.pth', 'litehrnet-18-mpii'),
        ('litehrnet30_coco_384x288-deadbeef_20250101.pth', 'litehrnet-30-384x288'),
        ('best_coco_AP_epoch_200_xhrnet-s18.pth', None),
        ('tokenpose_b_coco_converted.pth', 'tokenpose-b'),
        ('tinypose_128x96.safetensors', 'wider-naive-litehrnet-18-udp-128x96'),
        ('xhrnet-s18/epoch_210.pth', 'xhrnet-s18'),
        ('xhrnet-s18-mpii/best_PCK_epoch_200.pth', 'xhrnet-s18-mpii'),
        (
            'td-hm_tokenpose-t_udp-4xb32-300e_coco-256x192/best_coco_AP_epoch_9.pth',
            'tokenpose-t',
        ),
    ],
)
def test_how_people_name_files(path, alias):
    if alias is None:
        with pytest.raises(ValueError, match=r'any of xhrnet-s18, .*: name'):
            assign(Path(path), MODELS_OF_ZOO)
    else:
        assert assign(Path(path), MODELS_OF_ZOO).model.aliases[0] == alias


@pytest.mark.parametrize(
    ('path', 'nearest'),
    [
        ('litehrnet_20.pth', 'litehrnet-30'),
        ('work/final_state.pth', 'none'),
        # Another network than any with these words: this input size is not there.
        ('naive_litehrnet18_384x288.pth', 'naive-litehrnet-18'),
        # Trained on other data than the zoo's model of these words.
        ('td-hm_litehrnet-18_1xb32-8e_lspet-128x96/epoch_8.pth', 'litehrnet-18'),
    ],
)
def test_what_belongs_to_no_model(path, nearest):
    with pytest.raises(ValueError, match=f'no model has such a name; .*{nearest}'):
        assign(Path(path), MODELS_OF_ZOO)


def test_a_published_files_own_figures_come_first():
    official = assign(Path('litehrnet_18_coco_256x192.pth'), MODELS_OF_ZOO)
    of_mmpose = assign(
        Path('litehrnet18_coco_256x192-6bace359_20211230.pth'), MODELS_OF_ZOO
    )
    assert official.model is of_mmpose.model
    assert (official.metrics['AP'], of_mmpose.metrics['AP']) == (0.648, 0.642)
    assert 'README' in official.source
    assert 'MMPose' in of_mmpose.source
    tinypose = assign(Path('tinypose_256_192.pth'), MODELS_OF_ZOO)
    assert (tinypose.boxes, official.boxes) == (GROUND_TRUTH, DETECTOR)
    assert 'trained anew' in tinypose.source


def test_weights_are_looked_for_in_folders_below(tmp_path):
    names = ('a.pth', 'b/c.safetensors', 'b/d/e.pth.tar', 'f.npz', 'README.md')
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert weight_files(tmp_path) == [tmp_path / name for name in names[:3]]
    with pytest.raises(ValueError, match='is no folder'):
        weight_files(tmp_path / 'absent')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=r'holds no weights; allowed .*\.safetensors'):
        weight_files(tmp_path / 'empty')


# --- Verdicts -------------------------------------------------------------------------


def found(metrics, boxes=DETECTOR, data='COCO'):
    """A model and a file for which certain figures were published."""
    file = PublishedFile(('file',), metrics, 'a paper' if metrics else '', boxes)
    model = Model(
        name='td-hm_model', aliases=('model',), config='', collection='', data=data,
        size='256x192', params=1, macs=1, metrics={}, source='', files=(file,),
    )  # fmt: skip
    return Found(Path('file.pth'), model, file)


def data(name='COCO', missing='', boxes=(DETECTOR, GROUND_TRUTH)):
    """A data set with certain boxes."""
    return Data(name, Path(), '', '', missing, dict.fromkeys(boxes, 5))


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
    result = judge(found({'AP': 0.648}), data(), {'AP': measured}, tolerance)
    assert result.verdict == verdict
    assert ('allowed' in result.why) == (verdict == 'deviates')


def test_every_published_metric_counts():
    published = found({'AP': 0.5, 'AR': 0.6})
    result = judge(published, data(), {'AP': 0.5, 'AR': 0.58, 'AP@0.5': 0.9}, 0.5)
    assert result.verdict == 'deviates'
    assert result.deviations == pytest.approx({'AP': 0, 'AR': -2})
    text = report([result])
    assert '| model (file.pth) | AR | 58.0 | 60.0 | -2.00 | deviates |' in text
    assert '| model (file.pth) | AP@0.5 | 90.0 | – | – | deviates |' in text
    assert 'AR by -2.00 points, allowed 0.5. Published: a paper' in text
    result = judge(published, data(), {'AP': 0.5, 'AR': float('nan')}, 0.5)
    assert result.verdict == 'deviates'


@pytest.mark.parametrize(
    ('published', 'where', 'verdict', 'why'),
    [
        ({'AP': 0.5}, data(missing='32 images'), 'not comparable', '32 images'),
        ({'AP': 0.5}, data(boxes=[GROUND_TRUTH]), 'not comparable', 'of a detector'),
        ({}, data(), 'nothing published', ''),
        ({}, data(missing='32 images'), 'nothing published', ''),
    ],
)
def test_what_is_not_judged(published, where, verdict, why):
    result = judge(found(published), where, {'AP': 0.9}, 0.5)
    assert result.verdict == verdict
    assert why in result.why


def test_boxes_are_those_that_figures_were_published_with():
    truth_only = found({'AP': 0.5}, GROUND_TRUTH)
    assert judge(truth_only, data(), {'AP': 0.5}, 0.5).boxes == GROUND_TRUTH
    assert judge(found({'AP': 0.5}), data(), {'AP': 0.5}, 0.5).boxes == DETECTOR
    mpii = data('MPII', boxes=[GROUND_TRUTH])
    on_mpii = found({'PCKh@0.5': 0.8}, data='MPII')
    assert judge(on_mpii, mpii, {'PCKh@0.5': 0.8}, 0.5).verdict == 'agrees'


# --- Data -----------------------------------------------------------------------------


def coco_folder(root, images, labels=(17, 17, 0)):
    """Annotations of so many images, without the images."""
    (root / 'annotations').mkdir(parents=True)
    (root / 'val2017').mkdir()
    content = dict(
        images=[dict(id=i) for i in range(images)],
        annotations=[dict(num_keypoints=count) for count in labels],
    )
    path = root / 'annotations' / 'person_keypoints_val2017.json'
    path.write_text(json.dumps(content))
    return root


def test_only_the_whole_of_coco_compares(tmp_path):
    whole = open_coco(coco_folder(tmp_path / 'whole', 5000), None, False)
    assert whole.missing == ''
    assert whole.people == {GROUND_TRUTH: 2}
    part = open_coco(coco_folder(tmp_path / 'part', 4999), None, False)
    assert part.missing == '4999 images, COCO val2017 has 5000'


def test_detections_are_found_given_or_not_wanted(tmp_path):
    root = coco_folder(tmp_path, 3)
    given = tmp_path / 'boxes.json'
    given.write_text('[1, 2, 3, 4]')
    assert open_coco(root, given, False).people[DETECTOR] == 4
    usual = root / data_sets.DETECTIONS
    usual.parent.mkdir()
    usual.write_text('[1]')
    assert open_coco(root, None, False).people[DETECTOR] == 1
    assert open_coco(root, None, False).detections == usual
    assert open_coco(root, None, True).people == {GROUND_TRUTH: 2}
    with pytest.raises(ValueError, match=r'--detections .*absent\.json is no file'):
        open_coco(root, tmp_path / 'absent.json', False)


def test_folders_that_lack_something_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r'--coco .* lacks annotations/.*, val2017;'):
        open_coco(tmp_path, None, False)
    with pytest.raises(ValueError, match=r'--mpii .* lacks .*mpii_gt_val\.mat, images'):
        open_mpii(tmp_path)


# --- The tool -------------------------------------------------------------------------


def tool(folder, *arguments):
    """Run it as a user does; the process, and the results if it wrote some."""
    done = subprocess.run(
        [
            *(sys.executable, '-W', 'ignore', ROOT / 'tools' / 'check_published.py'),
            *('--out', str(folder / 'out'), '--workers', '0', *map(str, arguments)),
        ],
        cwd=folder,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'COLUMNS': '100'},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    written = folder / 'out' / 'results.json'
    results = json.loads(written.read_text()) if written.is_file() else None
    return done, results


def initial(alias):
    """Weights of a model of the zoo as it starts."""
    (model,) = [one for one in MODELS_OF_ZOO if alias in one.aliases]
    init_default_scope('mmpose')
    torch.manual_seed(0)
    return MODELS.build(Config.fromfile(ROOT / model.config).model).state_dict()


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    """Toy people laid out as COCO, and weights: some fit, some do not."""
    root = tmp_path_factory.mktemp('toy')
    drawn = generate_toy_coco(
        root / 'drawn', 1, 4, image_size=(160, 120), max_persons=2
    )
    coco = root / 'coco'
    (coco / 'annotations').mkdir(parents=True)
    (coco / 'val2017').symlink_to(drawn.root / 'val')
    (coco / 'annotations' / 'person_keypoints_val2017.json').symlink_to(
        drawn.annotations['val']
    )
    state = initial('tinypose-128x96')
    weights = root / 'weights'
    weights.mkdir()
    older = {k.replace('head.', 'keypoint_head.', 1): v for k, v in state.items()}
    save_file(older, weights / 'tinypose_128x96.safetensors')
    torch.save({'state_dict': state}, weights / 'tinypose-128x96.pth')
    torch.save(state, weights / 'naive-litehrnet-18.pth')
    torch.save(state, weights / 'litehrnet-18-mpii.pth')
    torch.save(state, weights / 'stranger.pth')
    return root


def main(monkeypatch, *arguments):
    """The tool in this process; its exit code."""
    monkeypatch.setattr(sys, 'argv', ['check_published.py', *map(str, arguments)])
    return check_published.main()


def test_list_says_what_is_what(toy, monkeypatch, capsys):
    words = ('--coco', toy / 'coco', '--weights', toy / 'weights', '--list')
    assert main(monkeypatch, *words) == 0
    said = {
        Path(line.partition(': ')[0]).name: line.partition(': ')[2]
        for line in capsys.readouterr().out.splitlines()
    }
    tinypose = 'wider-naive-litehrnet-18-udp-128x96'
    assert said['tinypose_128x96.safetensors'] == tinypose
    assert said['tinypose-128x96.pth'] == tinypose
    assert said['naive-litehrnet-18.pth'] == 'naive-litehrnet-18'
    assert said['litehrnet-18-mpii.pth'].endswith('but --mpii is not given')
    assert said['stranger.pth'].startswith('passed over, no model has such a name')
    assert said['COCO'].startswith('4 images, COCO val2017 has 5000')


def test_any_data_and_any_layout_go_through(toy, tmp_path):
    """One file twice, in two layouts, and one that belongs to another network."""
    done, results = tool(tmp_path, '--coco', toy / 'coco', '--weights', toy / 'weights')
    assert done.returncode == 1, done.stderr
    by_file = {Path(one['file']).name: one for one in results['results']}
    failed = by_file.pop('naive-litehrnet-18.pth')
    assert failed['verdict'] == 'failed'
    assert 'do not fit the model' in failed['why']
    layouts = {name: one['layout'] for name, one in by_file.items()}
    assert layouts == {
        'tinypose_128x96.safetensors': 'MMPose 0.x: Lite-HRNet, X-HRNet',
        'tinypose-128x96.pth': 'mmpose_lite',
    }
    one, other = by_file.values()
    assert one['measured'] == other['measured']
    assert set(one['measured']) == {'AP', 'AP@0.5', 'AP@0.75', 'AR'}
    assert (one['verdict'], one['boxes']) == ('not comparable', 'ground truth')
    assert one['published'] == {'AP': 0.581}
    assert one['deviations']['AP'] == pytest.approx(
        100 * (one['measured']['AP'] - 0.581)
    )
    assert {Path(path).name for path in results['passed_over']} == {
        'stranger.pth',
        'litehrnet-18-mpii.pth',
    }
    assert '| 58.1 |' in done.stdout
    # What evaluators and loggers say stays out of the results.
    assert 'Loading and preparing' not in done.stdout
    assert '100%' in done.stderr


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((), 'nothing to test on'),
        (('--coco', 'absent'), r'error: --coco absent lacks annotations'),
        (('--coco', '{toy}/coco', '--weights', 'absent'), '--weights absent'),
        (('--mpii', '{toy}/coco'), '--mpii .* lacks annotations/mpii_val.json'),
        (('--coco', 'c', '--detections', 'd', '--ground-truth-boxes'), 'exclude'),
    ],
)
def test_wrong_arguments_give_one_clear_error(
    toy, monkeypatch, capsys, arguments, message
):
    words = [word.format(toy=toy) for word in arguments]
    if '--weights' not in words:
        words += ['--weights', str(toy / 'weights')]
    with pytest.raises(SystemExit) as stopped:
        main(monkeypatch, *words)
    # argparse prints its errors itself.
    assert re.search(message, f'{stopped.value}{capsys.readouterr().err}')


@pytest.mark.slow
def test_real_weights_on_real_images(shared, tmp_path):
    """PP-TinyPose at both sizes; the figures are those measured through mim."""
    root = shared / 'data' / 'coco_mini'
    done, results = tool(tmp_path, '--coco', root, '--weights', shared / 'weights')
    assert done.returncode == 0, done.stderr
    by_file = {Path(one['file']).name: one for one in results['results']}
    assert set(by_file) == {TINYPOSE.format(size) for size in ('128_96', '256_192')}
    large = by_file[TINYPOSE.format('256_192')]
    assert large['measured']['AP'] == pytest.approx(0.6620, abs=0.002)
    assert large['published'] == {'AP': 0.688}
    for one in by_file.values():
        assert one['measured']['AP'] > 0.5
        assert one['verdict'] == 'not comparable'
        assert one['why'] == '32 images, COCO val2017 has 5000'


@pytest.mark.slow
@pytest.mark.parametrize(('tolerance', 'code'), [(0.5, 1), (9.0, 0)])
def test_on_whole_data_the_exit_code_tells(
    shared, tmp_path, monkeypatch, capsys, tolerance, code
):
    """The 32 images taken for the whole: the figures are then judged."""
    monkeypatch.setattr(data_sets, 'COCO_IMAGES', 32)
    weights = tmp_path / 'weights'
    weights.mkdir()
    name = TINYPOSE.format('128_96')
    (weights / name).symlink_to(shared / 'weights' / name)
    words = ('--coco', shared / 'data/coco_mini', '--weights', weights)
    words += ('--out', tmp_path / 'out', '--workers', 0, '--tolerance', tolerance)
    assert main(monkeypatch, *words) == code
    (result,) = json.loads((tmp_path / 'out/results.json').read_text())['results']
    assert result['verdict'] == ('deviates' if code else 'agrees')
    assert abs(result['deviations']['AP']) > 0.5
    out = capsys.readouterr().out
    assert 'not comparable' not in out


@pytest.mark.slow
def test_detector_boxes(shared, tmp_path):
    """Four images with a detector's boxes, laid out as COCO."""
    sample, coco = shared / 'data' / 'coco_sample', tmp_path / 'coco'
    (coco / 'annotations').mkdir(parents=True)
    (coco / 'val2017').symlink_to(sample)
    (coco / 'annotations' / 'person_keypoints_val2017.json').symlink_to(
        sample / 'test_coco.json'
    )
    (tmp_path / 'weights').mkdir()
    # Under this name figures would have been published with a detector's boxes.
    name = 'wider-naive-litehrnet-18-udp.pth'
    (tmp_path / 'weights' / name).symlink_to(
        shared / 'weights' / TINYPOSE.format('256_192')
    )
    words = ['--coco', coco, '--weights', tmp_path / 'weights']
    detections = ['--detections', sample / 'test_coco_det_AP_H_56.json']
    found = {}
    for boxes, more in ((DETECTOR, detections), (GROUND_TRUTH, ())):
        done, results = tool(tmp_path, *words, *more)
        assert done.returncode == 0, done.stderr
        (result,) = results['results']
        assert result['boxes'] == boxes
        assert result['verdict'] == 'nothing published'
        found[boxes] = result['measured']['AP']
    assert min(found.values()) > 0.5
    assert found[DETECTOR] != found[GROUND_TRUTH]


@pytest.mark.slow
def test_mpii(shared, tmp_path):
    weights = tmp_path / 'weights'
    weights.mkdir()
    torch.save(
        initial('naive-litehrnet-18-mpii'), weights / 'naive-litehrnet18-mpii.pt'
    )
    root = shared / 'data' / 'mpii_mini'
    done, results = tool(tmp_path, '--mpii', root, '--weights', weights)
    assert done.returncode == 0, done.stderr
    (result,) = results['results']
    assert result['model'] == 'naive-litehrnet-18-mpii'
    assert (
        set(result['measured']) == {'PCKh@0.5', 'PCKh@0.1'} == set(result['published'])
    )
    assert all(0 <= value <= 1 for value in result['measured'].values())
    assert np.isclose(result['published']['PCKh@0.1'], 0.305)
    assert result['verdict'] == 'not comparable'
    assert 'MPII val has 2958' in result['why']
