"""What people look at: predictions beside the truth, measured figures."""

from .architecture import draw_architecture
from .attention import PruningTrace, trace_pruning
from .attention_figure import draw_pruning
from .grid import PosedImage, draw_pose_grid, predict_posed_images, save_image

__all__ = [
    'PosedImage',
    'PruningTrace',
    'draw_architecture',
    'draw_pose_grid',
    'draw_pruning',
    'predict_posed_images',
    'save_image',
    'trace_pruning',
]
