"""Exported networks in the place of the inferencer."""

import json

import cv2
import numpy as np
import pytest
from command_line import run_verb
from small_pose import BOXES, NAME, SCENE

from mmpose_lite import deploy
from mmpose_lite.inference import ExportedPredictor, inferencer
from mmpose_lite.zoo import find_model


class Runtime:
    """Says where it looked: a keypoint in each box's middle, one at its corner."""

    def __init__(self, file, threads):
        self.file, self.threads = file, threads
        self.contract = Contract()

    def __call__(self, image, boxes, flip_test):
        assert flip_test is True
        assert boxes.shape[1] == 4
        points = np.stack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, :2]], axis=1)
        return points, np.full(points.shape[:2], 0.5)


class Contract:
    keypoint_names = ('left_hand', 'nose')
    skeleton = ((0, 1),)
    flip_test = True


@pytest.fixture
def poser(monkeypatch):
    monkeypatch.setattr(deploy, 'PoseRuntime', Runtime, raising=False)
    return ExportedPredictor('model.onnx', threads=3)


def test_people_in_boxes(poser):
    assert poser.runtime.threads == 3
    found = poser.people(SCENE.image, np.array([[0, 0, 10, 20], [4, 4, 8, 8]]))
    points = found.pred_instances.keypoints.tolist()
    assert points == [[[5, 10], [0, 0]], [[6, 6], [4, 4]]]
    assert found.pred_instances.bbox_scores.tolist() == [1, 1]


def test_whole_image_nobody_and_detector(poser):
    height, width = SCENE.image.shape[:2]
    whole = poser.people(SCENE.image).pred_instances
    assert whole.keypoints.tolist() == [[[width / 2, height / 2], [0, 0]]]
    nobody = poser.people(SCENE.image, np.zeros((0, 4))).pred_instances
    assert nobody.keypoints.shape == (0, 2, 2)
    poser.detector = lambda image, threshold: np.array([[2, 2, 4, 4, threshold]])
    found = poser.people(SCENE.image, threshold=0.7).pred_instances
    assert found.keypoints.tolist() == [[[3, 3], [2, 2]]]
    assert found.bbox_scores.tolist() == pytest.approx([0.7])


@pytest.mark.slow
def test_exported_file_does_what_the_checkpoint_does(tmp_path, shared):
    """From ``deploy.export`` to the json of the command line."""
    weights = shared / 'weights/wider_naive_litehrnet18_tinypose_128_96.pth'
    images, model = tmp_path / 'images', tmp_path / 'model.onnx'
    images.mkdir()
    cv2.imwrite(str(images / 'scene.png'), SCENE.image)
    (tmp_path / 'boxes.json').write_text(json.dumps({'scene.png': BOXES}))
    config = find_model(NAME).config
    deploy.export(config, weights, model, images=(images,), people=2)
    out = tmp_path / 'out'
    boxes = ('--boxes', tmp_path / 'boxes.json')
    outputs = ('--json', out / 'r.json', '--out', out)
    done = run_verb('infer', images, '--model', model, *boxes, *outputs)
    assert done.code == 0, done.err
    rows = json.loads((out / 'r.json').read_text())
    found = np.array([row['keypoints'] for row in rows]).reshape(-1, 17, 3)
    poser = inferencer(NAME, weights, device='cpu')
    expected = poser.people(SCENE.image, np.array(BOXES)).pred_instances
    assert np.abs(found[..., :2] - expected.keypoints).max() < 0.1
    assert np.abs(found[..., 2] - expected.keypoint_scores).max() < 1e-3
    assert (cv2.imread(str(out / 'scene.png')) != SCENE.image).any()
