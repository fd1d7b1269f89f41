"""Toy pose data: drawn people with exact COCO annotations, without any download."""

from .toy_coco import ToyCoco, generate_toy_coco, render_toy_image
from .toy_scene import ToyPerson, ToyScene

__all__ = [
    'ToyCoco',
    'ToyPerson',
    'ToyScene',
    'generate_toy_coco',
    'render_toy_image',
]
