"""A pose estimator from a config of MMPose and a checkpoint."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

import mmpose.datasets
import mmpose.models  # noqa: F401  (both imported for their registrations)
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmpose.apis.inference import dataset_meta_from_config
from mmpose.registry import MODELS
from torch import nn

from ..checkpoints import read_checkpoint
from .runtime.codecs import DECODERS

_GEOMETRY = ('input_size', 'heatmap_size')


def read_config(
    path: str | os.PathLike[str], image_size: tuple[int, int] | None = None
) -> Config:
    """A config, for images of another size if one is given.

    Args:
        path: Of the config.
        image_size: Height and width, px; None is the config's own.

    Raises:
        ValueError: If the config has no codec, or heatmaps of that size would not be
            whole pixels, or the network is for one size only.
        OSError: If it cannot be read.
    """
    config = Config.fromfile(path)
    codec = config.model.get('head', {}).get('decoder')
    vectors = isinstance(codec, Mapping) and has_vectors(codec)
    needed = _GEOMETRY[:1] if vectors else _GEOMETRY
    if not isinstance(codec, Mapping) or any(key not in codec for key in needed):
        raise ValueError(f'{path}: model.head.decoder names no codec with heatmaps')
    if image_size is None or tuple(image_size[::-1]) == tuple(codec['input_size']):
        return config
    if vectors:
        raise ValueError(
            f'input_size must be that of the config: a head with vectors has layers '
            f'for {tuple(codec["input_size"])} (w, h) only, got {image_size}'
        )
    size = tuple(image_size[::-1])
    old, heatmap = (tuple(codec[key]) for key in _GEOMETRY)
    shrunk = [s * h / o for s, h, o in zip(size, heatmap, old, strict=True)]
    if any(not side.is_integer() for side in shrunk):
        raise ValueError(
            f'input_size {image_size} (height, width) gives heatmaps of '
            f'{shrunk[1]} x {shrunk[0]} px; they must be whole'
        )
    config.model.head.decoder.update(
        input_size=size, heatmap_size=tuple(int(side) for side in shrunk)
    )
    for step in pipeline_of(config):
        if step['type'] == 'TopdownAffine':
            step['input_size'] = size
    return config


def has_vectors(codec: Mapping[str, Any]) -> bool:
    """Whether a codec of a config is one of vectors along x and y, not of maps."""
    known = DECODERS.get(codec_name(codec))
    return known is not None and known.vectors


def codec_name(codec: Mapping[str, Any]) -> str:
    """What MMPose calls a codec of a config."""
    return str(codec.get('type', '')).rpartition('.')[2]


def pipeline_of(config: Config) -> list[Any]:
    """Steps of the test pipeline, which may be changed."""
    loader = config.get('test_dataloader') or config.get('val_dataloader')
    if not loader or 'pipeline' not in loader['dataset']:
        raise ValueError('the config has no test_dataloader with a pipeline')
    return list(loader['dataset']['pipeline'])


def load_estimator(config: Config, checkpoint: str | os.PathLike[str]) -> nn.Module:
    """The pose estimator of a config with the weights of a checkpoint, in eval mode.

    Unlike MMPose's own ``init_model`` it refuses weights that do not fit.

    Args:
        config: Of the pose estimator.
        checkpoint: File of a training, or of weights alone.

    Returns:
        The estimator, with ``cfg`` and ``dataset_meta`` as MMPose's functions want it.

    Raises:
        ValueError: If the model cannot be built or the weights do not fit.
        OSError: If the checkpoint cannot be read.
    """
    content = read_checkpoint(checkpoint)
    content = content if isinstance(content, Mapping) else {}
    weights = content.get('state_dict', content)
    weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    init_default_scope(config.get('default_scope') or 'mmpose')
    model = copy.deepcopy(config.model)
    model['train_cfg'] = None
    model.get('backbone', {}).pop('init_cfg', None)
    try:
        estimator = revert_sync_batchnorm(MODELS.build(model))
        estimator.load_state_dict(weights, strict=True)
    except (KeyError, TypeError) as error:  # an unknown name, of a class or argument
        raise ValueError(f'the model of the config cannot be built: {error}') from error
    except RuntimeError as error:
        raise ValueError(
            f'the weights in {os.fspath(checkpoint)} do not fit the config: {error}'
        ) from error
    estimator.cfg = config
    estimator.dataset_meta = find_dataset_meta(content, config)
    return estimator.eval()


def find_dataset_meta(checkpoint: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """Names and pairs of keypoints, where MMPose looks for them, and further.

    Raises:
        ValueError: If neither checkpoint nor config has them.
    """
    meta = (checkpoint.get('meta') or {}).get('dataset_meta')
    for loader in ('train', 'val', 'test'):
        if not meta and config.get(f'{loader}_dataloader'):
            meta = dataset_meta_from_config(config, loader)
    if not meta:
        raise ValueError('neither checkpoint nor config names a data set')
    return dict(meta)
