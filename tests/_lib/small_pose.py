"""A small real network with random weights, and one image of several people for it."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from mmpose_lite.data import render_toy_image
from mmpose_lite.inference import inferencer
from mmpose_lite.zoo import find_model

NAME = 'tinypose-128x96'
SCENE = next(
    scene
    for scene in (render_toy_image(0, 'val', i) for i in range(20))
    if len(scene.persons) > 1
)
BOXES = [[x, y, x + w, y + h] for x, y, w, h in (p.bbox for p in SCENE.persons)]


@cache
def weights():
    """Path of a checkpoint without any meta data."""
    init_default_scope('mmpose')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(find_model(NAME).config).model)
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / 'random.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@cache
def pose():
    """The inferencer of these weights."""
    return inferencer(NAME, weights(), device='cpu')
