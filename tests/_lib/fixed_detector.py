"""A stand-in for a trained detector of mmdet, of which no weights can be had here."""

import torch
from mmdet.models.detectors.base import BaseDetector
from mmdet.registry import MODELS
from mmengine.structures import InstanceData

PERSON, DOG = 0, 16
CONFIG = """
default_scope = 'mmdet'
custom_imports = dict(imports=['fixed_detector'])
model = dict(type='FixedDetector', found={found})
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    # Boxes must come back in pixels of the image itself.
    dict(type='Resize', scale=(160, 120), keep_ratio=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
test_dataloader = dict(dataset=dict(type='CocoDataset', pipeline=test_pipeline))
visualizer = dict(type='DetLocalVisualizer', vis_backends=[])
"""


@MODELS.register_module(force=True)
class FixedDetector(BaseDetector):
    """Finds ``(left, top, right, bottom, score, class)`` in the image as it is given.

    ``shift`` is a weight, so that a checkpoint which is not loaded can be told.
    """

    def __init__(self, found, data_preprocessor=None):
        super().__init__(data_preprocessor or dict(type='DetDataPreprocessor'))
        self.found = torch.tensor(found, dtype=torch.float32).reshape(-1, 6)
        self.shift = torch.nn.Parameter(torch.full((1,), 1000.0))

    def predict(self, batch_inputs, batch_data_samples, rescale=True):
        for sample in batch_data_samples:
            height, width = sample.ori_shape
            assert sample.img_shape[1] == 160, 'the pipeline resizes'
            size = torch.tensor([width, height, width, height])
            sample.pred_instances = InstanceData(
                bboxes=self.found[:, :4] * size + self.shift.detach(),
                scores=self.found[:, 4],
                labels=self.found[:, 5].long(),
            )
        return batch_data_samples

    def loss(self, *_):
        raise NotImplementedError

    def _forward(self, *_):
        raise NotImplementedError

    def extract_feat(self, batch_inputs):
        raise NotImplementedError


def write(folder, found):
    """A config and a checkpoint of a detector that finds given boxes."""
    config, weights = folder / 'detector.py', folder / 'detector.pth'
    config.write_text(CONFIG.format(found=found))
    meta = dict(dataset_meta=dict(CLASSES=('person',) * 80))
    torch.save(dict(state_dict=dict(shift=torch.zeros(1)), meta=meta), weights)
    return config, weights
