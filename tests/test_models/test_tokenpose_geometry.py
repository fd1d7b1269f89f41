"""How near MMPose's UDP geometry is to that of TokenPose's own code.

The original counts pixel centres on both sides: with padded width S and centre c, the
crop of W pixels and the heatmap of W pixels alike are u = (W - 1) / (S - 1) * (p - c) +
(W - 1) / 2, in y with the same factor, and c = x + (w - 1) / 2. MMPose takes S for
S - 1, a factor of its own in y, and c = x + w / 2. The figures below are those of the
comment in the first config of ``configs/tokenpose``.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import ROOT
from mmengine.config import Config
from mmpose.codecs import UDPHeatmap
from mmpose.datasets.transforms import GetBBoxCenterScale, TopdownAffine

INPUT, HEATMAP = np.array([192, 256]), np.array([48, 64])
# Width and height of a person in image pixels; the first is about COCO's median.
BOXES = dict(typical=(90, 180), small=(24, 48))
CORNER = np.array([100.0, 50.0])
FIRST = 'configs/tokenpose/td-hm_tokenpose-b_udp-4xb32-300e_coco-256x192.py'
every_box = pytest.mark.parametrize('box', BOXES.values(), ids=BOXES)


class MMPoseGeometry:
    """MMPose's own transforms and codec for one box."""

    def __init__(self, box):
        results = dict(
            img=np.zeros((8, 8, 3), np.uint8),
            bbox=np.array([[*CORNER, *(CORNER + box)]], np.float32),
        )
        self.size = tuple(INPUT.tolist())
        self.affine = TopdownAffine(input_size=self.size, use_udp=True)
        self.padded = GetBBoxCenterScale().transform(results)

    def crop(self, points):
        """Image pixels to input pixels."""
        points = points[None].astype(np.float32)
        done = self.affine.transform({**self.padded, 'keypoints': points})
        self.center, self.scale = done['input_center'], done['input_scale']
        return done['transformed_keypoints'][0]

    def decode(self, cells):
        """Image pixels that are read from Gaussians at ``cells``, one a keypoint."""
        y, x = np.mgrid[: HEATMAP[1], : HEATMAP[0]]
        square = (x - cells[:, :1, None]) ** 2 + (y - cells[:, 1:, None]) ** 2
        codec = UDPHeatmap(self.size, tuple(HEATMAP.tolist()), sigma=2)
        points = codec.decode(np.exp(-square / 8).astype(np.float32))[0][0]
        # As TopdownPoseEstimator.add_pred_to_datasample.
        return points / INPUT * self.scale + self.center - 0.5 * self.scale


def original_map(points, box, size):
    """Image pixels to those of a crop or heatmap of ``size``, in the original."""
    padded = 1.25 * max(box[0], box[1] * INPUT[0] / INPUT[1])
    center = CORNER + (np.array(box) - 1) / 2
    return (size[0] - 1) / (padded - 1) * (points - center) + (size - 1) / 2


def points_of(box):
    """Image points all over the (unpadded) box, edges included."""
    steps = np.linspace(0, 1, 5)
    return CORNER + np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2) * box


def input_pixels(distance, box):
    """Image pixels in pixels of the 256x192 input."""
    return distance * INPUT[1] / (1.25 * box[1])


@every_box
def test_crop_and_decoding_alone(box):
    """Crop and decoding alone, in image pixels, in opposite directions."""
    points = points_of(box)
    mmpose = MMPoseGeometry(box)
    crop = mmpose.crop(points) - original_map(points, box, INPUT)
    crop *= 1.25 * box[1] / INPUT[1]
    decode = mmpose.decode(original_map(points, box, HEATMAP)) - points
    for difference, sign in ((crop, -1), (decode, 1)):
        middle = difference[len(points) // 2]
        np.testing.assert_allclose(middle, sign * 0.5, atol=0.02)
        assert 0.75 < np.abs(difference).max() < 1.03


@pytest.mark.parametrize(('name', 'image_px'), [('typical', 0.36), ('small', 0.10)])
def test_weights_of_the_original_code(name, image_px):
    """Crop, network and decoding together: a keypoint's height is 0.4 % short."""
    box = BOXES[name]
    points = points_of(box)
    mmpose = MMPoseGeometry(box)
    # What such a network has learned: one factor for both axes, about the middle.
    factor = (HEATMAP[0] - 1) / (INPUT[0] - 1)
    cells = factor * (mmpose.crop(points) - (INPUT - 1) / 2) + (HEATMAP - 1) / 2
    error = np.abs(mmpose.decode(cells) - points).max(0)
    assert error[0] < 0.001
    assert error[1] == pytest.approx(image_px, abs=0.005)
    assert input_pixels(error[1], box) == pytest.approx(0.41, abs=0.005)


@every_box
def test_weights_trained_here(box):
    """MMPose decodes what it encodes, wherever the original would put it."""
    points = points_of(box)
    mmpose = MMPoseGeometry(box)
    cells = mmpose.crop(points) / (INPUT - 1) * (HEATMAP - 1)
    assert np.abs(mmpose.decode(cells) - points).max() < 0.001


def test_the_config_says_so():
    """The recipe has this geometry, and its comment these figures."""
    cfg = Config.fromfile(ROOT / FIRST)
    assert cfg.codec.type == 'UDPHeatmap'
    assert (*cfg.codec.input_size, *cfg.codec.heatmap_size) == (*INPUT, *HEATMAP)
    comment = ' '.join(re.findall(r'^# (.*)$', (ROOT / FIRST).read_text(), re.M))
    for figure in ('0.36', '0.10', '0.41', '90 x 180', '24 x 48'):
        assert figure in comment
