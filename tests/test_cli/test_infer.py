"""``mmpose-lite infer`` on folders, videos and cameras, good and broken."""

import json
import re

import cv2
import fixed_detector
import numpy as np
import pytest
from command_line import run_verb
from small_pose import BOXES, NAME, SCENE, pose, weights
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval


def call(*words, model=NAME, checkpoint=None):
    """Run ``mmpose-lite infer``."""
    checkpoint = checkpoint or weights()
    options = ('--model', model, '--weights', checkpoint, '--device', 'cpu')
    return run_verb('infer', *words, *options)


@pytest.fixture
def folder(tmp_path):
    """Two images, and one that is cut off between them."""
    images = tmp_path / 'images'
    images.mkdir()
    for name in ('000000000012.jpg', 'last.jpg'):
        cv2.imwrite(str(images / name), SCENE.image)
    data = (images / 'last.jpg').read_bytes()
    (images / 'broken.jpg').write_bytes(data[: len(data) // 2])
    return images


def read(path):
    return json.loads(path.read_text())


def test_broken_image_is_named_and_the_rest_done(folder, tmp_path):
    out, results = tmp_path / 'new' / 'drawn', tmp_path / 'new' / 'results.json'
    told = call(folder, '--out', out, '--json', results)
    assert told.code == 1
    assert 'skipped broken.jpg: it is damaged or no image' in told.out
    assert '2 images, 2 people' in told.out
    assert '1 images were skipped' in told.err
    assert [row['image_id'] for row in read(results)] == [12, 'last.jpg']
    assert sorted(path.name for path in out.iterdir()) == [
        '000000000012.jpg',
        'last.jpg',
    ]
    # No box given: the whole image is one person.
    image = cv2.imread(str(folder / 'last.jpg'))
    whole = pose().people(image).pred_instances.keypoints[0]
    found = np.reshape(read(results)[1]['keypoints'], (17, 3))
    assert np.allclose(found[:, :2], whole, atol=1e-3)
    drawn = cv2.imread(str(out / 'last.jpg')).astype(int)
    assert np.abs(drawn - image).max() > 60


def test_all_well_is_zero(folder, tmp_path):
    (folder / 'broken.jpg').unlink()
    assert call(folder, '--json', tmp_path / 'r.json').code == 0
    assert call(folder / 'last.jpg', '--json', tmp_path / 'r.json').code == 0
    assert len(read(tmp_path / 'r.json')) == 1


def test_boxes_of_a_file(folder, tmp_path):
    (folder / 'broken.jpg').unlink()
    boxes = tmp_path / 'boxes.json'
    boxes.write_text(json.dumps({'last.jpg': BOXES}))
    results = tmp_path / 'r.json'
    done = call(folder, '--boxes', boxes, '--json', results)
    assert done.code == 1
    assert 'skipped 000000000012.jpg: ' in done.out
    image = cv2.imread(str(folder / 'last.jpg'))
    expected = pose().people(image, np.array(BOXES)).pred_instances.keypoints
    found = np.array([row['keypoints'] for row in read(results)]).reshape(-1, 17, 3)
    assert np.allclose(found[..., :2], expected, atol=1e-3)


def test_boxes_of_a_detector(folder, tmp_path):
    size = np.array(SCENE.image.shape[1::-1] * 2)
    rows = [
        (*(np.array(box) / size).tolist(), 0.9 - 0.1 * i, 0)
        for i, box in enumerate(BOXES)
    ]
    config, checkpoint = fixed_detector.write(tmp_path, rows)
    results = tmp_path / 'r.json'
    options = ('--detector', config, '--detector-weights', checkpoint)
    assert call(folder / 'last.jpg', *options, '--json', results).code == 0
    image = cv2.imread(str(folder / 'last.jpg'))
    expected = pose().people(image, np.array(BOXES)).pred_instances.keypoints
    found = np.array([row['keypoints'] for row in read(results)]).reshape(-1, 17, 3)
    assert np.allclose(found[..., :2], expected, atol=0.1)


def test_video_with_a_broken_frame(tmp_path):
    path, size = tmp_path / 'clip.avi', SCENE.image.shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, size)
    for _ in range(6):
        writer.write(SCENE.image)
    writer.release()
    data, start = path.read_bytes(), -1
    for _ in range(3):
        start = data.index(b'\xff\xd8\xff', start + 1)
    end = data.index(b'\xff\xd9', start) + 2
    path.write_bytes(data[:start] + bytes(end - start) + data[end:])
    out, results = tmp_path / 'out', tmp_path / 'r.json'
    done = call(path, '--out', out, '--json', results, '--draw-boxes')
    assert done.code == 1
    assert 'skipped clip_000002: it cannot be read' in done.out
    assert [row['image_id'] for row in read(results)] == [0, 1, 3, 4, 5]
    film = cv2.VideoCapture(str(out / 'clip.mp4'))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert film.get(cv2.CAP_PROP_FPS) == 10
    assert film.read()[1].shape == SCENE.image.shape
    assert [p.name for p in out.iterdir()] == ['clip.mp4']
    assert call(path, '--json', results, '--frames', '2').code == 0
    assert [row['image_id'] for row in read(results)] == [0, 1]


class Camera:
    """Gives images until someone presses Ctrl-C."""

    def __init__(self, _):
        self.left = 3

    def isOpened(self):
        return True

    def get(self, _):
        return 0.0

    def read(self):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return True, SCENE.image.copy()

    def release(self):
        """Nothing to release."""


def test_camera_until_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr('mmpose_lite.inference.sources.cv2.VideoCapture', Camera)
    assert call('0', '--out', tmp_path, '--json', tmp_path / 'r.json').code == 0
    assert [row['image_id'] for row in read(tmp_path / 'r.json')] == [0, 1, 2]
    monkeypatch.undo()
    film = cv2.VideoCapture(str(tmp_path / 'camera0.mp4'))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 3


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['images', '--out', 'images'], '--out must not be the folder of the images'),
        (
            ['nothing', '--json', 'r.json'],
            "no image, folder, video or camera 'nothing'",
        ),
        (['images', '--json', 'r.json', '--boxes', 'none.json'], 'none.json'),
        (['images', '--json', 'images'], '--json must be a file, got the folder'),
        (
            ['images/last.jpg', '--json', 'images/last.jpg'],
            '--json must not be a file that is read',
        ),
        (['images', '--json', 'r.json', '--detector', __file__], 'needs weights'),
    ],
)
def test_what_cannot_be_done_is_said(folder, monkeypatch, options, message):
    monkeypatch.chdir(folder.parent)
    done = call(*options)
    assert done.code == 2
    assert re.match(f'error: .*{message}', done.err)
    assert sorted(path.name for path in folder.parent.iterdir()) == ['images']


def test_threads_are_those_of_exported_networks(folder, tmp_path):
    done = call(folder, '--json', tmp_path / 'r.json', '--threads', 2)
    assert done.code == 2
    assert 'threads are those of an exported network' in done.err


def test_unknown_model_lists_the_nearest(folder, tmp_path):
    done = call(folder, '--json', tmp_path / 'r.json', model='xhrnet-s8')
    assert done.code == 2
    assert 'nearest: xhrnet-s18' in done.err


@pytest.mark.parametrize(
    'options', [[], ['--json', 'r', '--whole-image', '--boxes', 'b'],
                ['--json', 'r', '--detector-weights', 'w'],
                ['--json', 'r', '--frames', '0'],
                ['--json', 'r', '--box-threshold', 'nan'],
                ['--json', 'r', '--box-threshold', '0.5'],
                ['--json', 'r', '--threads', '9999999'],
                ['--json', 'r', '--device', 'cuda:77'],
                ['--json', 'r', '--device', 'abacus'],
                ['--json', 'r', '--keypoint-threshold', '7']]
)  # fmt: skip
def test_senseless_options(folder, options):
    done = call(folder, *options)
    assert done.code == 2
    assert done.err.endswith('(see mmpose-lite infer --help)\n')


@pytest.mark.slow
def test_real_weights_on_real_images(shared, tmp_path):
    """From the command line to COCO's own evaluation."""
    data = shared / 'data/coco_mini'
    annotations = data / 'annotations/person_keypoints_val2017.json'
    results = tmp_path / 'r.json'
    assert (
        call(
            data / 'val2017', '--boxes', annotations, '--json', results,
            model='tinypose-256x192',
            checkpoint=shared / 'weights/wider_naive_litehrnet18_tinypose_256_192.pth',
        ).code
        == 0
    )  # fmt: skip
    truth = COCO(str(annotations))
    evaluation = COCOeval(truth, truth.loadRes(str(results)), 'keypoints')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] > 0.6
