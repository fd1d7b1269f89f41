"""What differs from MMPose's inferencer, and that nothing else does."""

import json
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmpose.apis import inference_topdown, init_model
from mmpose.evaluation.metrics import CocoMetric
from small_pose import BOXES, NAME, SCENE, pose, weights

import mmpose_lite
from mmpose_lite import loading
from mmpose_lite.inference import PoseInferencer, coco_results
from mmpose_lite.weights import read_weights
from mmpose_lite.zoo import find_model


def keypoints(samples):
    return np.concatenate([sample.pred_instances.keypoints for sample in samples])


@pytest.fixture(scope='module')
def expected():
    model = init_model(find_model(NAME).config, str(weights()), device='cpu')
    return inference_topdown(model, SCENE.image, np.array(BOXES, np.float32))


def test_boxes_are_used(expected):
    found = pose().people(SCENE.image, np.array(BOXES))
    assert len(BOXES) > 1
    assert np.allclose(found.pred_instances.keypoints, keypoints(expected), atol=1e-3)
    assert np.allclose(found.pred_instances.bboxes, BOXES, atol=1e-3)


def test_without_boxes_the_whole_image_is_a_person():
    height, width = SCENE.image.shape[:2]
    box = np.array([[0, 0, width, height]])
    found, same = pose().people(SCENE.image), pose().people(SCENE.image, box)
    assert np.array_equal(found.pred_instances.bboxes, box)
    assert np.array_equal(keypoints([found]), keypoints([same]))


def test_no_boxes_mean_nobody():
    found = pose().people(SCENE.image, np.zeros((0, 4)))
    assert found.pred_instances.keypoints.shape == (0, 17, 2)
    assert coco_results(found, 1) == []


def test_called_as_in_mmpose(expected, tmp_path):
    path = tmp_path / 'scene.png'
    cv2.imwrite(str(path), SCENE.image)
    pose = mmpose_lite.inferencer(NAME, weights(), device='cpu')
    (result,) = pose(str(path), bboxes=[BOXES], out_dir=str(tmp_path / 'out'))
    (people,) = result['predictions']
    found = np.array([person['keypoints'] for person in people])
    assert np.allclose(found, keypoints(expected), atol=1e-3)
    drawn = cv2.imread(str(tmp_path / 'out' / 'visualizations' / 'scene.png'))
    assert drawn.shape == SCENE.image.shape
    assert (drawn != SCENE.image).any()
    assert (tmp_path / 'out' / 'predictions' / 'scene.json').stat().st_size > 100


def test_several_images_with_boxes_of_their_own():
    options = dict(bboxes=[BOXES[:1], [], BOXES], return_datasamples=True)
    results = pose()([SCENE.image] * 3, **options)
    counts = [len(result['predictions'][0].pred_instances) for result in results]
    assert counts == [1, 0, len(BOXES)]


@pytest.mark.parametrize('bboxes', [[[[0, 0, 5, 5]]] * 2, []])
def test_as_many_entries_of_boxes_as_images(bboxes):
    message = f'one entry for each of 1 images, got {len(bboxes)}'
    with pytest.raises(ValueError, match=message):
        list(pose()(SCENE.image, bboxes=bboxes))


def test_results_are_those_of_mmpose_metric(tmp_path):
    """The same numbers as MMPose writes into the json that it evaluates."""
    scored = np.array([[*box, 0.5 + 0.1 * i] for i, box in enumerate(BOXES)])
    sample = pose().people(SCENE.image, scored)
    # Some keypoints above the threshold of a person's score, some below.
    scores = np.random.default_rng(0).uniform(0, 0.6, (len(BOXES), 17))
    sample.pred_instances.keypoint_scores = scores.astype(np.float32)
    options = dict(format_only=True, nms_mode='none')
    metric = CocoMetric(outfile_prefix=str(tmp_path / 'mmpose'), **options)
    metric.dataset_meta = dict(pose().model.dataset_meta, CLASSES=[])
    truth = dict(image_id=7, category_id=1, bbox=[0, 0, 1, 1], keypoints=[0] * 51)
    truth |= dict(iscrowd=0, area=1)
    for i in range(len(BOXES)):
        person = dict(
            id=i,
            img_id=7,
            ori_shape=SCENE.image.shape,
            raw_ann_info=dict(truth, id=i),
            pred_instances={k: v[i : i + 1] for k, v in sample.pred_instances.items()},
            gt_instances={},
        )
        metric.process([], [person])
    metric.evaluate(size=len(BOXES))
    theirs = json.loads((tmp_path / 'mmpose.keypoints.json').read_text())
    ours = coco_results(sample, 7)
    assert len(theirs) == len(ours) == len(BOXES)
    for expected, found in zip(theirs, ours, strict=True):
        assert set(found) <= set(expected)
        assert (found['image_id'], found['category_id']) == (7, 1)
        assert np.allclose(found['keypoints'], expected['keypoints'], atol=1e-3)
        assert found['score'] == pytest.approx(expected['score'], abs=1e-5)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    message = r'do not fit the model: \d+ missing .*convert'
    with pytest.raises(ValueError, match=message):
        mmpose_lite.inferencer('xhrnet-s18', weights(), device='cpu')
    path = tmp_path / 'other.pth'
    state = torch.load(weights(), weights_only=True)['state_dict']
    key = next(key for key, value in state.items() if value.dim() == 4)
    state[key] = state[key][:1]
    torch.save(state, path)
    with pytest.raises(ValueError, match=f'size mismatch for {key}'):
        mmpose_lite.inferencer(NAME, path, device='cpu')
    path.write_bytes(b'nothing of the kind')
    with pytest.raises(ValueError, match=r'other\.pth is damaged or no checkpoint'):
        mmpose_lite.inferencer(NAME, path)


def test_config_that_names_no_data_mode():
    """Such as those of the demonstration and of small data sets."""
    config = Config.fromfile(find_model('td-hm_xhrnet-toy_1xb16-2e_toy-128x96').config)
    assert 'data_mode' not in config
    found = PoseInferencer(config, device='cpu').people(SCENE.image, np.array(BOXES))
    assert found.pred_instances.keypoints.shape == (len(BOXES), 17, 2)


def test_weights_are_read_once_and_the_config_is_left_alone(monkeypatch):
    reader = mock.Mock(side_effect=read_weights)
    monkeypatch.setattr(loading, 'read_weights', reader)
    config = Config.fromfile(find_model(NAME).config)
    before = config.pretty_text
    PoseInferencer(config, str(weights()), device='cpu')
    reader.assert_called_once_with(str(weights()))
    assert config.pretty_text == before


def test_plain_state_dict_with_prefix_loads(tmp_path):
    state = torch.load(weights(), weights_only=True)['state_dict']
    torch.save({f'module.{k}': v for k, v in state.items()}, tmp_path / 'plain.pth')
    again = mmpose_lite.inferencer(NAME, tmp_path / 'plain.pth', device='cpu')
    for key, value in pose().model.state_dict().items():
        assert torch.equal(again.model.state_dict()[key], value), key


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('tinypose', 'w.pth'), 'nearest: tinypose-128x96'),
        (('xhrnet-s18',), 'no public ones are known of td-hm_xhrnet-s18'),
        (('model.onnx',), 'mmpose_lite.deploy.PoseRuntime runs it'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        mmpose_lite.inferencer(*arguments)


def test_missing_weights():
    with pytest.raises(FileNotFoundError, match='nowhere'):
        mmpose_lite.inferencer(NAME, 'nowhere.pth')


def test_unreadable_image():
    with pytest.raises(ValueError, match=r'cannot read the image .*pyproject'):
        list(pose()([str(ROOT / 'pyproject.toml')]))


def test_unknown_attribute_of_the_package():
    with pytest.raises(AttributeError, match=r'no attribute .inference_of_nothing'):
        _ = mmpose_lite.inference_of_nothing


@pytest.mark.parametrize(
    ('text', 'message'),
    [('model = dict(', 'is no config'), ('a = 1', 'describes no model')],
)
def test_what_is_no_config_of_a_model_is_named(text, message, tmp_path):
    path = tmp_path / 'strange.py'
    path.write_text(text)
    with pytest.raises(ValueError, match=rf'strange\.py {message}'):
        loading.build_model(loading.read_config(path))
