"""What people run: models by name, on images, videos and cameras."""

from .boxes import BoxFile, Detector, as_boxes, read_boxes
from .draw import ImageWriter, Painter, VideoWriter, open_writer
from .inferencer import EXPORTED, PoseInferencer, inferencer
from .predict import Done, ExportedPredictor, Predictor, Writer, open_predictor, run
from .results import Results, coco_results
from .sources import Frame, Source, open_source

__all__ = [
    'EXPORTED', 'BoxFile', 'Detector', 'Done', 'ExportedPredictor', 'Frame',
    'ImageWriter', 'Painter', 'PoseInferencer', 'Predictor', 'Results', 'Source',
    'VideoWriter', 'Writer', 'as_boxes', 'coco_results', 'inferencer', 'open_predictor',
    'open_source', 'open_writer', 'read_boxes', 'run',
]  # fmt: skip
