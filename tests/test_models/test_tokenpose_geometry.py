"""How near the geometry of the configs is to that of TokenPose's own code.

The original counts pixel centres on both sides: with padded width S and centre c, the
crop of W pixels and the heatmap of W pixels alike are u = (W - 1) / (S - 1) * (p - c) +
(W - 1) / 2, in y with the same factor, and c = x + (w - 1) / 2. MMPose takes S for
S - 1, a factor of its own in y, and c = x + w / 2. The figures below are those of the
comment in the first config of ``configs/tokenpose``, whose codec takes the one factor.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import ROOT
from mmengine.config import Config
from mmpose.codecs import UDPHeatmap
from mmpose.datasets.transforms import GetBBoxCenterScale, TopdownAffine

from mmpose_lite.models.codecs import CenteredUDPHeatmap

INPUT, HEATMAP = np.array([192, 256]), np.array([48, 64])
# Width and height of a person in image pixels; the first is about COCO's median.
BOXES = dict(typical=(90, 180), small=(24, 48))
CORNER = np.array([100.0, 50.0])
FIRST = 'configs/tokenpose/td-hm_tokenpose-b_udp-4xb32-300e_coco-256x192.py'
every_box = pytest.mark.parametrize('box', BOXES.values(), ids=BOXES)


class MMPoseGeometry:
    """MMPose's own transforms for one box, and a codec."""

    def __init__(self, box, codec=CenteredUDPHeatmap):
        results = dict(
            img=np.zeros((8, 8, 3), np.uint8),
            bbox=np.array([[*CORNER, *(CORNER + box)]], np.float32),
        )
        self.size = tuple(INPUT.tolist())
        self.codec = codec(self.size, tuple(HEATMAP.tolist()), sigma=2)
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
        points = self.codec.decode(np.exp(-square / 8).astype(np.float32))[0][0]
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
    mmpose = MMPoseGeometry(box, UDPHeatmap)
    crop = mmpose.crop(points) - original_map(points, box, INPUT)
    crop *= 1.25 * box[1] / INPUT[1]
    decode = mmpose.decode(original_map(points, box, HEATMAP)) - points
    for difference, sign in ((crop, -1), (decode, 1)):
        middle = difference[len(points) // 2]
        np.testing.assert_allclose(middle, sign * 0.5, atol=0.02)
        assert 0.75 < np.abs(difference).max() < 1.03


@pytest.mark.parametrize(
    ('codec', 'input_px'), [(UDPHeatmap, 0.41), (CenteredUDPHeatmap, 0.0)]
)
@every_box
def test_weights_of_the_original_code(box, codec, input_px):
    """Crop, network and decoding together; MMPose's codec makes heights 0.4 % short."""
    points = points_of(box)
    mmpose = MMPoseGeometry(box, codec)
    # What such a network has learned: one factor for both axes, about the middle.
    factor = (HEATMAP[0] - 1) / (INPUT[0] - 1)
    cells = factor * (mmpose.crop(points) - (INPUT - 1) / 2) + (HEATMAP - 1) / 2
    error = np.abs(mmpose.decode(cells) - points).max(0)
    assert error[0] < 0.001
    assert input_pixels(error[1], box) == pytest.approx(input_px, abs=0.005)


@every_box
def test_weights_trained_here(box):
    """What is encoded is decoded, and is where the original's code puts it."""
    points = points_of(box)
    mmpose = MMPoseGeometry(box)
    crop = mmpose.crop(points)
    inside = ((crop > 16) & (crop < INPUT - 17)).all(1)
    assert inside.sum() > 5
    maps = mmpose.codec.encode(crop[None, inside])['heatmaps']
    factor = (HEATMAP[0] - 1) / (INPUT[0] - 1)
    cells = factor * (crop[inside] - (INPUT - 1) / 2) + (HEATMAP - 1) / 2
    y, x = np.mgrid[: HEATMAP[1], : HEATMAP[0]]
    square = (x - cells[:, :1, None]) ** 2 + (y - cells[:, 1:, None]) ** 2
    near = maps > 0  # MMPose cuts Gaussians off
    np.testing.assert_allclose(maps[near], np.exp(-square / 8)[near], atol=1e-5)
    found = mmpose.codec.decode(maps)[0][0] / INPUT * mmpose.scale
    found += mmpose.center - 0.5 * mmpose.scale
    assert input_pixels(np.abs(found - points[inside]).max(), box) < 0.02


def test_the_config_says_so():
    """The recipe has this geometry, and its comment these figures."""
    cfg = Config.fromfile(ROOT / FIRST)
    assert cfg.codec.type == 'CenteredUDPHeatmap'
    assert (*cfg.codec.input_size, *cfg.codec.heatmap_size) == (*INPUT, *HEATMAP)
    comment = ' '.join(re.findall(r'^# (.*)$', (ROOT / FIRST).read_text(), re.M))
    assert '0.41 px of the input in y' in comment
