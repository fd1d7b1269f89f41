"""Toy people with exact annotations; anyone's annotations described and checked."""

from .annotations import Finding, check_annotations, fill_annotations, image_list
from .image_files import check_images
from .keypoints import describe_keypoints
from .toy import ToyCoco, ToyPerson, ToyScene, generate_toy_coco, render_toy_image

__all__ = [
    'Finding', 'ToyCoco', 'ToyPerson', 'ToyScene', 'check_annotations', 'check_images',
    'describe_keypoints', 'fill_annotations', 'generate_toy_coco', 'image_list',
    'render_toy_image',
]  # fmt: skip
