"""Toy people with exact COCO annotations, and descriptions of anyone's annotations."""

from .description import describe_keypoints
from .toy_coco import ToyCoco, generate_toy_coco, render_toy_image
from .toy_scene import ToyPerson, ToyScene

__all__ = [
    'ToyCoco',
    'ToyPerson',
    'ToyScene',
    'describe_keypoints',
    'generate_toy_coco',
    'render_toy_image',
]
