"""Real weights on real people: what MMPose's own inference finds, to 0.1 px."""

import cv2
import numpy as np
import pytest
from conftest import ROOT
from deploy_cases import WEIGHTS, found_by_mmpose, people

from mmpose_lite.deploy import PoseRuntime, export
from mmpose_lite.loading import load_model

pytestmark = pytest.mark.slow
NAME = 'td-hm_wider-naive-litehrnet-18{}_8xb64-210e_coco-256x192.py'
CODECS = {'msra': NAME.format(''), 'udp': NAME.format('_udp')}
LIMIT = 0.1
"""px of the image."""


@pytest.fixture(scope='module', params=CODECS)
def exported(request, shared, tmp_path_factory):
    """MMPose's estimator, and the same as ONNX and for OpenVINO."""
    config = ROOT / 'configs' / 'litehrnet' / CODECS[request.param]
    weights, folder = shared / 'weights' / WEIGHTS, tmp_path_factory.mktemp('real')
    root = shared / 'data' / 'coco_mini'
    images = (root / 'annotations/person_keypoints_val2017.json', root / 'val2017')
    runtimes = []
    for suffix, form, batch in (('onnx', 'onnx', None), ('xml', 'openvino', 2)):
        out = folder / f'model.{suffix}'
        done = export(
            config, weights, out, format=form, batch=batch, images=images, people=6
        )
        assert done.difference.max < LIMIT
        runtimes.append(PoseRuntime(out))
    return load_model(config, weights), runtimes


@pytest.mark.parametrize('flip', [False, True], ids=['plain', 'flip'])
def test_people(exported, shared, flip):
    estimator, runtimes = exported
    cases = [*people(shared), *people(shared, 'train')][::5]
    for path, box in (*cases, (cases[0][0], None)):
        image = cv2.imread(str(path))
        wanted = found_by_mmpose(estimator, image, box, flip)
        for runtime in runtimes:
            keypoints, scores = runtime(image, box, flip_test=flip)
            np.testing.assert_allclose(keypoints, wanted[0], rtol=0, atol=LIMIT)
            np.testing.assert_allclose(scores, wanted[1], atol=1e-3)
