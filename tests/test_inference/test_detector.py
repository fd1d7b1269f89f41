"""People found by mmdet, as far as that can be told without trained detectors."""

from pathlib import Path

import fixed_detector
import mmdet
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from small_pose import BOXES, NAME, SCENE, pose, weights

import mmpose_lite
from mmpose_lite.inference import Detector

HEIGHT, WIDTH = SCENE.image.shape[:2]
PERSON, DOG = fixed_detector.PERSON, fixed_detector.DOG


def found(box, score, category=PERSON):
    """A box in pixels as the stand-in takes it: relative to the image."""
    return (*(np.array(box) / (WIDTH, HEIGHT, WIDTH, HEIGHT)).tolist(), score, category)


def near(box, by=1.0):
    return [side + by for side in box]


def with_detector(config, checkpoint):
    files = dict(detector=str(config), detector_weights=checkpoint)
    return mmpose_lite.inferencer(NAME, weights(), device='cpu', **files)


@pytest.fixture
def detector(tmp_path):
    rows = [
        found(BOXES[0], 0.9),
        found(near(BOXES[0]), 0.8),  # the same person once more
        found(BOXES[1], 0.5),
        found([0, 0, 20, 20], 0.2),
        found([0, 0, 50, 50], 0.9, DOG),
        found([30, 0, 30, 50], 0.9),
    ]
    return fixed_detector.write(tmp_path, rows)


def test_people_above_the_threshold_once_each(detector):
    boxes = Detector(*map(str, detector), device='cpu')(SCENE.image)
    expected = [[*BOXES[0], 0.9], [*BOXES[1], 0.5]]
    assert np.allclose(boxes, expected, atol=1e-2)
    strict = Detector(*map(str, detector), device='cpu')(SCENE.image, threshold=0.6)
    assert np.allclose(strict, expected[:1], atol=1e-2)


def test_other_categories(detector):
    boxes = Detector(*map(str, detector), device='cpu', categories=DOG)(SCENE.image)
    assert np.allclose(boxes, [[0, 0, 50, 50, 0.9]], atol=1e-2)


def test_inferencer_poses_what_the_detector_finds(detector):
    both = with_detector(*detector)
    sample = both.people(SCENE.image)
    expected = pose().people(SCENE.image, np.array(BOXES[:2]))
    for key in ('keypoints', 'keypoint_scores'):
        found, wanted = sample.pred_instances[key], expected.pred_instances[key]
        assert np.allclose(found, wanted, atol=1e-2), key
    assert np.allclose(sample.pred_instances.bbox_scores, [0.9, 0.5])
    # Boxes that are given spare the detector.
    given = both.people(SCENE.image, np.array(BOXES[1:2]))
    assert np.allclose(given.pred_instances.bboxes, BOXES[1:2])


def test_nobody_found_is_nobody(tmp_path):
    (result,) = with_detector(*fixed_detector.write(tmp_path, []))(SCENE.image)
    assert result['predictions'] == [[]]


def test_no_weights_or_an_unknown_name_are_refused(detector):
    with pytest.raises(ValueError, match=r'detector\.py needs weights'):
        Detector(str(detector[0]))
    with pytest.raises(ValueError, match='Cannot find model: no-such-detector'):
        Detector('no-such-detector', 'weights.pth')


@pytest.mark.slow
# Its visualizer would like a folder, which only runs of a Runner have.
@pytest.mark.filterwarnings('ignore:Failed to add:UserWarning')
@pytest.mark.filterwarnings('ignore:.torch.cuda.amp.autocast:FutureWarning')
@pytest.mark.filterwarnings('ignore:torch.meshgrid:UserWarning')
def test_detector_that_mmdet_knows_by_name(tmp_path):
    """A real network with random weights: its boxes mean nothing, but are boxes."""
    name = 'rtmdet_tiny_8xb32-300e_coco'
    config = Path(mmdet.__file__).parent / '.mim/configs/rtmdet' / f'{name}.py'
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = mmdet.registry.MODELS.build(Config.fromfile(config).model)
    # Else most boxes end before they begin.
    for conv in model.bbox_head.rtm_reg:
        torch.nn.init.constant_(conv.bias, 5.0)
    path = tmp_path / 'random.pth'
    meta = dict(dataset_meta=dict(CLASSES=('person',) * 80))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    boxes = Detector(name, str(path), 'cpu', range(80))(SCENE.image, threshold=0.0)
    assert boxes.shape[1] == 5
    assert len(boxes)
    assert (boxes[:, :2] < boxes[:, 2:4]).all()
    assert ((boxes[:, 4] > 0) & (boxes[:, 4] <= 1)).all()
