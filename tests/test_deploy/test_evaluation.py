"""What a lower precision costs, measured on annotated people."""

from dataclasses import replace

import numpy as np
import pytest

from mmpose_lite.deploy import compare
from mmpose_lite.deploy.evaluation import Evaluated, compare_outputs
from mmpose_lite.deploy.parity import Outputs
from mmpose_lite.deploy.samples import Samples, coco_samples


@pytest.fixture(scope='module')
def samples(toy):
    return coco_samples(*toy)


def truth(samples, noise=0.0):
    labels = [r['keypoints'] for s in samples.samples for r in s.annotations]
    joints = np.array(labels, float).reshape(len(labels), 17, 3)
    rng = np.random.default_rng(0)
    keypoints = joints[..., :2] + noise * rng.standard_normal((len(labels), 17, 2))
    heatmaps = np.zeros((len(labels), 17, 4, 4), np.float32)
    return Outputs(heatmaps, keypoints, np.full((len(labels), 17), 0.9))


def test_truth_is_found(samples):
    evaluated = Evaluated(truth(samples), samples)
    assert evaluated.precision() == pytest.approx(100)
    assert evaluated.precision(np.array([1, 1, 0, 3])) == pytest.approx(100)


def test_noise_costs(samples):
    found, exact = truth(samples, 6.0), truth(samples)
    measured = compare_outputs(found, exact, samples, rounds=50)
    assert measured.reference_ap == pytest.approx(100)
    assert measured.ap < 90
    assert measured.low <= measured.ap - measured.reference_ap <= measured.high < 0
    assert 4 < measured.median < 10 < measured.p95 < 20
    measured = compare_outputs(exact, exact, samples, rounds=5)
    assert (measured.median, measured.low, measured.high) == (0, 0, 0)


def test_repeated_images_count_twice(samples):
    evaluated = Evaluated(truth(samples, 3.0), samples)
    once = evaluated.precision()
    count = np.arange(len(samples.samples))
    assert evaluated.precision(np.tile(count, 2)) == pytest.approx(once, abs=3)
    single = [evaluated.precision(np.array([i])) for i in count]
    assert min(single) <= once <= max(single)


def test_what_is_found_in_ignored_people_is_no_mistake(samples):
    """As in COCO's own evaluation: crowds, and people without keypoints."""
    found = truth(samples)
    found.keypoints[0] += 5000
    box = [*found.keypoints[0].min(0), 100, 100]
    other = dict(bbox=box, area=10_000, keypoints=[0] * 51, num_keypoints=0, iscrowd=0)
    rest = (replace(samples.samples[0], ignored=(other,)), *samples.samples[1:])
    more = Evaluated(found, Samples(rest, 'toy')).precision()
    assert Evaluated(found, samples).precision() < more < 100


def test_people_without_labels(samples):
    found = truth(samples)
    few = Outputs(found.heatmaps[:1], found.keypoints[:1], found.scores[:1])
    with pytest.raises(ValueError, match='annotated with the 17 keypoints'):
        compare_outputs(few, few, samples)


def test_two_exported_models(exported, toy, samples):
    half = exported('xml', kind='dark', precision='fp16').paths[0]
    full = exported(kind='dark', batch=None).paths[0]
    told = []
    found = compare(half, full, [toy], 5, lambda *step: told.append(step))
    assert found.people == samples.people
    assert 0 <= found.median < found.p95 < 1
    assert told[0][0] == 'm.xml'
    assert told[-1] == ('m.onnx', found.people, found.people)
