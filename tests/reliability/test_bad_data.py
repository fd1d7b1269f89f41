"""Bad data neither end a night's work nor reach the weights.

Every damage of ``bad_data`` is done to a copy of a small data set.
``mmpose-lite check-data`` must name file and id; then a network trains on it with
MMPose's Runner and the guard.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from command_line import program
from deploy_cases import export_small, write_estimator
from mmcv.transforms import BaseTransform
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, MODELS, TRANSFORMS
from torch import nn

from mmpose_lite.data import generate_toy_coco, render_toy_image
from mmpose_lite.inference import (
    ExportedPredictor,
    Results,
    as_boxes,
    inferencer,
    open_source,
    run,
)

from . import bad_data
from .bad_data import Watch, build, log_of, make_site
from .frame import cases

SECTION = (2, 'Bad data')
# MMEngine warns of a run without a test loop and the like.
pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore:overflow encountered in cast:RuntimeWarning'),
]


@pytest.fixture(scope='session')
def origin(tmp_path_factory):
    return tmp_path_factory.mktemp('origin') / 'data'


@pytest.fixture
def damaged(tmp_path, origin):
    """Function that makes a damaged copy of the data set."""

    def make(damage, split='train'):
        shutil.rmtree(tmp_path / 'data', ignore_errors=True)
        site = make_site(tmp_path / 'data', origin, split)
        site.victim = dict(
            person=site.person['id'], image=site.record['id'], people=people_of(site)
        )
        damage(site)
        site.write()
        return site

    return make


def people_of(site):
    number = site.record['id']
    people = site.content['annotations']
    return {p['id'] for p in people if p['image_id'] == number}


@pytest.fixture
def check(tmp_path):
    """Function that runs the check of data: exit code, findings, text."""

    def run(site, *options):
        out = tmp_path / 'findings.json'
        words = (site.annotations, site.images, '--json', out, *options)
        ended = program('check_data', *words)
        return ended.code, json.loads(out.read_text()), ended.out

    return run


@pytest.fixture
def trained(tmp_path):
    """Function that trains; returns what the run saw, and what it said."""

    def run(site, *hooks, tolerance=0.5, images=True, **options):
        watch = Watch()
        guard = dict(
            type='mmpose_lite.DataGuardHook', tolerance=tolerance, images=images
        )
        work_dir = tmp_path / f'work{len(list(tmp_path.iterdir()))}'
        runner = build(site.root, work_dir, guard, watch, *hooks, **options)
        try:
            runner.train()
            said = log_of(work_dir)
        except (ValueError, FileNotFoundError, FloatingPointError) as error:
            said = str(error)
        watch.weights = dict(runner.model.state_dict())
        for name, value in watch.weights.items():
            assert torch.isfinite(value).all(), name
        return watch, said

    return run


def assert_left_out(site, persons, name, number, check, trained):
    """Found beforehand; trained without, said once, nothing but finite weights."""
    code, findings, _ = check(site)
    hits = [f for f in findings if f['grade'] == 'error' and f['id'] == number]
    assert code == 1
    assert hits
    assert {f['file'] for f in hits} == {name}
    watch, log = trained(site)
    assert watch.steps > 1, log
    assert watch.persons
    assert not watch.persons & persons
    assert log.count('left out') == 1, log
    # A person that MMPose itself leaves out takes its image along, if it was alone.
    told = [f for f in findings if f['file'] == name and f['grade'] == 'error']
    line = next(row for row in log.splitlines() for f in told if f['what'] in row)
    assert name in line
    assert any(str(f['id']) in line for f in told)
    assert watch.changed


@cases(bad_data.LOST_IMAGES)
def test_image_is_left_out(case, damaged, check, trained):
    site = damaged(case)
    name, victim = site.record['file_name'], site.victim
    assert_left_out(site, victim['people'], name, victim['image'], check, trained)


@cases(bad_data.LOST_PEOPLE)
def test_person_is_left_out(case, damaged, check, trained):
    site = damaged(case)
    number = site.victim['person']
    known = number in people_of(site)
    name = site.record['file_name'] if known else str(site.annotations)
    assert_left_out(site, {number}, name, number, check, trained)


@cases({**bad_data.KEPT_IMAGES, **bad_data.FINE_IMAGES})
def test_image_is_trained_on(case, damaged, check, trained):
    site = damaged(case)
    code, findings, _ = check(site)
    assert code == 0
    told = [f for f in findings if f['file'] == site.record['file_name']]
    assert bool(told) == (case in bad_data.KEPT_IMAGES.values())
    assert all(f['grade'] == 'warning' for f in told)
    watch, log = trained(site)
    assert 'left out' not in log
    assert watch.changed
    large = site.record['width'] != 12  # else the people are smaller than a pixel
    assert not large or site.victim['people'] <= watch.persons


@cases(bad_data.KEPT_PEOPLE)
def test_person_does_no_harm(case, damaged, check, trained):
    site = damaged(case)
    code, findings, _ = check(site)
    assert code == 0
    assert all(f['grade'] == 'warning' for f in findings)
    watch, log = trained(site)
    assert watch.steps > 1
    assert 'left out' not in log
    assert watch.changed


@cases(bad_data.REFUSED)
def test_file_is_refused_before_the_first_step(case, damaged, check, trained):
    site = damaged(case)
    code, findings, _ = check(site, '--keypoints', '17')
    assert code == 1
    assert any(f['grade'] in ('fatal', 'error') for f in findings)
    watch, message = trained(site)
    assert watch.steps == 0
    assert site.annotations.name in message
    numbers = [f['id'] for f in findings if f['grade'] == 'fatal']
    if numbers:
        what = next(f['what'] for f in findings if f['grade'] == 'fatal')
        assert what in message
        assert numbers[0] is None or str(numbers[0]) in message


VALIDATION = {
    name: table[name]
    for table, names in (
        (bad_data.LOST_IMAGES, ('truncated to a half', 'missing', 'zero bytes')),
        (bad_data.LOST_PEOPLE, ('box NaN', 'joint NaN', 'category unknown')),
        (bad_data.REFUSED, ('json cut to 50%', 'image id twice', 'nobody labelled')),
    )
    for name in names
}


@cases(VALIDATION)
def test_validation_is_of_the_whole_data_or_none(case, damaged, check, trained):
    site = damaged(case, split='val')
    assert check(site)[0] == 1
    watch, message = trained(site, validate=True)
    assert watch.steps == 0
    assert site.annotations.name in message


@cases({'missing': bad_data.gone, 'zeros': bad_data.rewrite(lambda d: bytes(9))})
def test_more_than_the_tolerance_ends_the_run(case, damaged, trained):
    site = damaged(case)
    watch, message = trained(site, tolerance=0)
    assert watch.steps == 0
    assert 'tolerance=0 allows 0' in message
    assert site.record['file_name'] in message


@cases({f'EXIF {i}{s}': (i, s) for i in range(1, 9) for s in ('.png', '.jpg')})
def test_mmpose_turns_images_upright(case, damaged):
    """What MMPose cuts is the same, however the camera was held."""
    orientation, suffix = case
    crops = []
    for number in (1, orientation):
        crops.append(crop(damaged(bad_data.stored_turned(number, suffix))))
    difference = np.abs(crops[0].astype(float) - crops[1])
    # JPEG stores blocks of 8 px, which lie elsewhere in a turned image.
    assert difference.mean() < (0.01 if suffix == '.png' else 4)
    assert crops[0].std() > 10


def dataset(site):
    """MMPose's own, without a guard."""
    init_default_scope('mmpose')
    return DATASETS.build(
        dict(
            type='CocoDataset',
            data_root=f'{site.root}/',
            ann_file='annotations/person_keypoints_train.json',
            data_prefix=dict(img='train/'),
            pipeline=[
                dict(type='LoadImage'),
                dict(type='GetBBoxCenterScale'),
                dict(type='TopdownAffine', input_size=(48, 64)),
                dict(type='PackPoseInputs'),
            ],
        )
    )


def crop(site):
    """The person that MMPose cuts from the damaged image."""
    data = dataset(site)
    ids = [data.get_data_info(i)['id'] for i in range(len(data))]
    return data[ids.index(site.victim['person'])]['inputs'].numpy()


UNREADABLE = {
    **{name: bad_data.LOST_IMAGES[name] for name in bad_data.UNREADABLE},
    'png flipped byte': bad_data.FLIPPED,
}


@cases(
    {
        f'{name}, {workers} workers': (damage, workers)
        for name, damage in UNREADABLE.items()
        for workers in (0, 2)
    }
)
def test_image_damaged_while_training_is_left_out(case, damaged, trained):
    """As if it had been sound when it was looked at."""
    damage, workers = case
    site = damaged(damage)
    watch, log = trained(site, workers=workers, images=False)
    assert watch.steps > 1, log
    assert not watch.persons & site.victim['people']
    assert log.count('left out from now on') == 1, log
    assert str(site.path) in log
    assert watch.changed


@TRANSFORMS.register_module()
class Poison(BaseTransform):
    """Spoils what is learnt from one person."""

    def __init__(self, person, key, value):
        self.person, self.key, self.value = person, key, value

    def transform(self, results):
        if results['id'] == self.person:
            results[self.key] = results[self.key].astype(np.float32)
            results[self.key].flat[7] = self.value
        return results


POISONS = {
    f'{key} {value}': (key, value)
    for key in ('heatmaps', 'keypoint_weights', 'img')
    for value in (bad_data.NAN, bad_data.INF)
}


@cases(POISONS)
def test_sample_that_becomes_infinite_is_left_out(case, damaged, trained):
    key, value = case
    site = damaged(lambda site: None)
    person = site.victim['person']
    step = dict(type='Poison', person=person, key=key, value=value)
    watch, log = trained(site, transforms=(step,))
    assert watch.steps > 1, log
    assert person not in watch.persons
    assert log.count('left out from now on') == 1
    assert f'(annotation {person})' in log
    assert watch.changed


@MODELS.register_module()
class LateLoss(nn.Module):
    """Spoils the third step."""

    def __init__(self, spoil):
        super().__init__()
        self.spoil, self.step = spoil, 0

    def forward(self, output, target, weights):
        self.step += 1
        loss = (output - target).square().mean()
        if self.step < 3:
            return loss
        # The last has a finite value and a gradient that is none.
        spoilt = dict(nan=loss * np.nan, inf=loss / 0, gradient=(loss * 0).sqrt())
        return spoilt[self.spoil]


@cases(['nan', 'inf', 'gradient'])
def test_step_that_would_spoil_the_weights_is_not_made(case, damaged, trained):
    site = damaged(lambda site: None)
    keep = Keep()
    watch, message = trained(site, keep, loss=dict(type='LateLoss', spoil=case))
    assert watch.steps == 2
    assert 'in step 3' in message
    assert {'nan': 'loss is nan', 'inf': 'loss is inf'}.get(
        case, 'gradients'
    ) in message
    for path, number in keep.batch:
        assert f'{path} (annotation {number})' in message
    for name, value in keep.weights.items():
        assert torch.equal(value, watch.weights[name]), name


class Keep(Hook):
    """The last batch, and the parameters after the last step."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batch = [(s.img_path, s.id) for s in data_batch['data_samples']]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        named = runner.model.named_parameters()
        self.weights = {name: value.detach().clone() for name, value in named}


@pytest.fixture(scope='session')
def posers(tmp_path_factory):
    """A small network in PyTorch and exported."""
    folder = tmp_path_factory.mktemp('poser')
    scope = "default_scope = 'mmpose'"
    visualizer = "visualizer = dict(type='PoseLocalVisualizer')"
    files = write_estimator(folder, replace={scope: f'{scope}\n{visualizer}'})
    export_small(files, folder / 'small.onnx')
    config, checkpoint = str(files.config), str(files.checkpoint)
    return (
        ExportedPredictor(folder / 'small.onnx'),
        inferencer(config, checkpoint, device='cpu'),
    )


@cases({**UNREADABLE, **bad_data.KEPT_IMAGES})
def test_inference_passes_over_it_or_finds_finite_poses(case, damaged, posers):
    """As ``tools/infer.py`` does it, with a network of either kind."""
    site = damaged(case)
    frames = [f for f in open_source(site.images) if f.name == site.path.name]
    assert len(frames) == site.path.is_file()
    unreadable = case in UNREADABLE.values()
    for poser in posers:
        results = Results()
        done = run(frames, poser, writers=[results])
        assert done.images == (0 if unreadable else 1)
        assert len(done.failures) == (len(frames) if unreadable else 0)
        assert all(name == site.path.name and why for name, why in done.failures)
        for result in results.rows:
            assert np.isfinite(result['keypoints']).all()


BOXES = {
    'empty': [[10, 10, 10, 30]],
    'inverted': [[40, 40, 10, 10]],
    'NaN': [[float('nan')] * 4],
    'infinite': [[0, 0, float('inf'), 10]],
    'three numbers': [[1, 2, 3]],
    'six numbers': [[1, 2, 3, 4, 5, 6]],
    'texts': [['a', 'b', 'c', 'd']],
    'a number': 3,
    'one row': [1, 2, 3, 4],
    'nulls': [[None] * 4],
    'a text': 'abcd',
    'rows of two lengths': [[1, 2], [3]],
}


@cases(BOXES)
def test_inference_refuses_boxes(case):
    with pytest.raises(ValueError, match='must '):
        as_boxes(case)


@cases({**BOXES, 'five numbers': [[1, 2, 3, 4, 0.5]]})
def test_exported_network_refuses_boxes(case, posers):
    image = np.zeros((40, 30, 3), np.uint8)
    with pytest.raises(ValueError, match='boxes'):
        posers[0].runtime(image, case)


FAR = {
    'left': [-50, 0, -10, 30],
    'right': [500, 0, 520, 30],
    'below': [0, 900, 20, 930],
    'around everything': [-1e5, -1e5, 1e5, 1e5],
    'narrow': [10, 10, 10.001, 30],
    'far': [1e7, 1e7, 2e7, 2e7],
}


@cases(FAR)
def test_box_outside_of_the_image_gives_finite_poses(case, posers):
    image = render_toy_image(0, 'val', 0).image
    for poser in posers:
        result = poser.people(image, np.array([case])).pred_instances
        assert np.isfinite(result.keypoints).all()
        assert np.isfinite(result.keypoint_scores).all()


NAN = bad_data.NAN
ABSURD = dict(
    num_train=(0, 1.5, 2.5, '10', NAN, True, 10**12),
    num_val=(-1, None, 10**9),
    seed=(-1, 2**32, 2**40, 'seed', '3'),
    max_persons=(0, 9, 1000, 0.5),
    image_size=(
        *(320, 'ab', None, (320,), (320, 240, 3), (0, 0), (1, 1), (320, 10)),
        *((-320, 240), (12_000, 9_000), (99_999, 240), (320.0, 240)),
        *((320.5, 240.5), (NAN, 240)),
    ),
)


@cases([dict([(name, value)]) for name in ABSURD for value in ABSURD[name]], share=1)
def test_toy_generator_refuses(case, tmp_path):
    (name,) = case
    with pytest.raises(ValueError, match=name):
        generate_toy_coco(tmp_path / 'toy', **{'num_train': 2, 'num_val': 1, **case})
    assert not (tmp_path / 'toy').exists()


def test_clean_data_have_no_findings(damaged, check):
    code, findings, text = check(damaged(lambda site: None), '--decode')
    assert (code, findings) == (0, [])
    assert 'nothing wrong' in text


@pytest.mark.filterwarnings('ignore:invalid value:RuntimeWarning')
def test_the_comparison_can_fail(damaged, tmp_path):
    """Without the guard MMPose trains on a box that is not a number, or dies."""
    site = damaged(bad_data.LOST_PEOPLE['box NaN'])
    watch = Watch()
    build(site.root, tmp_path / 'work', watch).train()
    assert site.victim['person'] in watch.persons


def test_mmpose_mixes_up_people_of_one_id(damaged):
    """Why such a file is refused, though it loads."""
    site = damaged(bad_data.same_person(near=False))
    data = dataset(site)
    own = [data.get_data_info(i) for i in range(len(data))]
    own = [info for info in own if info['img_path'] == str(site.path)]
    (own,) = [info for info in own if info['id'] == site.victim['person']]
    box, other = site.person['bbox'], site.content['annotations'][-1]['bbox']
    assert box != other
    assert own['bbox'][0][:2] == pytest.approx(other[:2])
