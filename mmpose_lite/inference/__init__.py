"""What people run: models by name, on images, videos and cameras."""

from .boxes import BoxFile, as_boxes, read_boxes
from .detector import Detector
from .drawing import Album, Film, Painter
from .exported import ExportedPoser
from .inferencer import EXPORTED, PoseInferencer, inferencer
from .results import coco_results, write_results
from .run import Done, process
from .sources import Frame, Source, open_source

__all__ = [
    'EXPORTED',
    'Album',
    'BoxFile',
    'Detector',
    'Done',
    'ExportedPoser',
    'Film',
    'Frame',
    'Painter',
    'PoseInferencer',
    'Source',
    'as_boxes',
    'coco_results',
    'inferencer',
    'open_source',
    'process',
    'read_boxes',
    'write_results',
]
