"""What people look at: predictions beside the truth, measured figures."""

from .grid import PosedImage, draw_pose_grid, predict_posed_images, save_image
from .runs import format_table, last_metric, seconds_per_step

__all__ = [
    'PosedImage',
    'draw_pose_grid',
    'format_table',
    'last_metric',
    'predict_posed_images',
    'save_image',
    'seconds_per_step',
]
