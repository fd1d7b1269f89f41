"""A small pose estimator as files, and real people: what tests of exports share."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmpose.apis import inference_topdown
from parity import fill_from, own_fill

from mmpose_lite.data import generate_toy_coco
from mmpose_lite.deploy import Contract, export
from mmpose_lite.deploy.runtime.contract import digests
from mmpose_lite.loading import build_model

CONFIG = """
default_scope = 'mmpose'
codec = dict(input_size=(64, 96), heatmap_size=(16, 24), sigma=2, {codec})
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor', bgr_to_rgb=True,
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='mmpose_lite.LiteHRNet',
        arch=dict(
            num_modules=(1, 1), channels=((8, 16), (8, 16, 24)), stem_channels=8,
            unit='ccw',
        ),
    ),
    head=dict(
        type='HeatmapHead', in_channels=8, out_channels=17, deconv_out_channels=None,
        loss=dict(type='KeypointMSELoss', use_target_weight=True), decoder=codec,
    ),
    test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap={shift}),
)
test_dataloader = dict(dataset=dict(
    type='CocoDataset',
    pipeline=[
        dict(type='LoadImage'),
        dict(type='GetBBoxCenterScale'),
        dict(type='TopdownAffine', input_size=codec['input_size'], use_udp={udp}),
        dict(type='PackPoseInputs'),
    ],
))
"""
KINDS = {
    'msra': dict(codec="type='MSRAHeatmap'", shift=True, udp=False),
    'dark': dict(codec="type='MSRAHeatmap', unbiased=True", shift=True, udp=False),
    'udp': dict(codec="type='UDPHeatmap'", shift=False, udp=True),
}
"""Codec to what a config says of it."""
PHOTO = cv2.GaussianBlur(
    np.random.default_rng(0).integers(0, 256, (160, 200, 3), np.uint8), (5, 5), 0
)
"""An image of nothing, smooth enough to be cut and scaled."""
WEIGHTS = 'wider_naive_litehrnet18_tinypose_256_192.pth'


@dataclass(frozen=True)
class Files:
    """A config and a checkpoint."""

    config: Path
    checkpoint: Path


def write_estimator(folder, kind='msra', replace=None):
    """Config and random weights in a folder; ``replace`` changes the config's text."""
    text = CONFIG.format(**KINDS[kind])
    for old, new in (replace or {}).items():
        assert old in text
        text = text.replace(old, new)
    files = Files(folder / 'small.py', folder / 'small.pth')
    files.config.write_text(text)
    write_weights(files)
    return files


def write_weights(files):
    """Random weights for a config."""
    network = build_model(Config.fromfile(files.config))
    fill_from(network, own_fill)
    torch.save({'state_dict': network.state_dict()}, files.checkpoint)


def export_small(files, out, **options):
    """Export a small estimator, compared on two drawn people.

    Random networks have maps without clear peaks, which decoding may move anywhere:
    what is compared by default are heatmaps and the median.
    """
    options = dict(people=2, tolerance=dict(p95=1e3, max=1e3)) | options
    return export(files.config, files.checkpoint, out, **options)


def toy_coco(root, split):
    """COCO json and image folder of four images of drawn people in a folder."""
    generate_toy_coco(root, 4, 4, (96, 96))
    return root / 'annotations' / f'person_keypoints_{split}.json', root / split


def found_by_mmpose(estimator, image, boxes, flip):
    """Keypoints ``(N, K, 2)`` and scores ``(N, K)`` of MMPose's own inference."""
    estimator.test_cfg = dict(estimator.test_cfg, flip_test=flip)
    found = [one.pred_instances for one in inference_topdown(estimator, image, boxes)]
    parts = [[one.keypoints for one in found], [one.keypoint_scores for one in found]]
    return tuple(map(np.concatenate, parts))


def people(shared, split='val'):
    """Path and box of each of coco_mini's people."""
    root = shared / 'data' / 'coco_mini'
    path = root / 'annotations' / f'person_keypoints_{split}2017.json'
    content = json.loads(path.read_text())
    names = {image['id']: image['file_name'] for image in content['images']}
    for record in content['annotations']:
        if record['num_keypoints'] and not record['iscrowd']:
            x, y, w, h = record['bbox']
            image = root / f'{split}2017' / names[record['image_id']]
            yield image, np.array([[x, y, x + w, y + h]])


def contract(**changes):
    """A contract of 17 keypoints, some of it changed."""
    defaults = dict(
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        channel_order='rgb',
        input_size=(64, 96),
        heatmap_size=(16, 24),
        codec='MSRAHeatmap',
        codec_options=dict(sigma=2),
        use_udp=False,
        box_padding=1.25,
        flip_test=True,
        shift_heatmap=True,
        keypoint_names=tuple(f'k{i}' for i in range(17)),
        skeleton=((0, 1), (1, 16)),
        flip_pairs=((1, 2), (3, 4)),
        sha256=digests({'.onnx': b'a model'}),
    )
    return Contract(**{**defaults, **changes})
