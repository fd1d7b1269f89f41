"""From a config and a checkpoint to a model, for everything that uses one."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping
from typing import Any

import mmpose.datasets
import mmpose.models  # noqa: F401  (both imported for their registrations)
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmpose.apis.inference import dataset_meta_from_config
from mmpose.registry import MODELS
from torch import Tensor, nn

from .checkpoints import geometry_conflict, geometry_of
from .weights import fetch_weights, locate_weights, read_weights
from .zoo import find_model

DEFAULT = 'DEFAULT'
"""Stands for the zoo's public weights, as in torchvision."""

_SHOWN = 3  # keys, or problems, that a message names


def read_config(
    config: str | os.PathLike[str] | Config, options: Mapping[str, Any] | None = None
) -> Config:
    """A config as an object of the caller's own.

    Args:
        config: Path, or a config, which is copied.
        options: Entries to replace, by dotted name, as of ``--cfg-options``.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no Python.
    """
    if isinstance(config, Config):
        config = copy.deepcopy(config)
    else:
        try:
            config = Config.fromfile(config)
        except SyntaxError as error:
            raise ValueError(f'{config} is no config: {error}') from error
    if options:
        config.merge_from_dict(dict(options))
    return config


def build_model(config: Config) -> nn.Module:
    """The model of a config, which stays as it is; ValueError if it cannot be built."""
    if 'model' not in config:
        raise ValueError(f'{config.filename} describes no model')
    init_default_scope(config.get('default_scope') or 'mmpose')
    try:
        return revert_sync_batchnorm(MODELS.build(copy.deepcopy(config.model)))
    except (KeyError, TypeError) as error:  # an unknown name, of a class or argument
        raise ValueError(f'the model of the config cannot be built: {error}') from error


def load_model(
    config: str | os.PathLike[str] | Config,
    checkpoint: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    device: str | None = 'cpu',
    strict: bool = True,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """The pose estimator of a config with the weights of a checkpoint, in eval mode.

    MMPose's own ``init_model`` goes on with weights that do not fit.

    Args:
        config: Path, or a config, which is not changed.
        checkpoint: File of a training or of weights alone, an address, a name of public
            weights, or the content of a file; random weights if not given.
        device: ``'cpu'``, ``'cuda:0'``, …; None takes a GPU if there is one.
        strict: Whether weights that are missing or unknown are an error.
        options: Entries of the config to replace, see :func:`read_config`.

    Returns:
        The estimator, with ``cfg`` and ``dataset_meta`` as MMPose's functions want it.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If the model cannot be built, the weights do not fit, or nothing
            names the keypoints.
    """
    config = read_config(config, options)
    model: Any = build_model(config)
    content: Mapping[str, Any] = {}
    if checkpoint is not None:
        where = ''
        if isinstance(checkpoint, Mapping):
            content = checkpoint
        else:
            where = f' in {os.fspath(checkpoint)}'
            content = read_weights(locate_weights(checkpoint))
            trained = (content.get('meta') or {}).get('geometry')
            if conflict := geometry_conflict(trained, geometry_of(config)):
                print_log(
                    f'the weights were trained with another geometry: {conflict}',
                    'current',
                    logging.WARNING,
                )
        load_weights(model, content.get('state_dict', content), where, strict=strict)
    model.cfg = config
    model.dataset_meta = find_dataset_meta(content, config)
    return model.to(get_device() if device is None else device).eval()


def load_weights(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    where: str = '',
    *,
    strict: bool = True,
) -> None:
    """Load all of a model's weights; names may begin with ``module.``.

    Args:
        where: Put behind *the weights* in messages, such as ``' in best.pth'``.

    Raises:
        ValueError: If a weight is missing, unknown or of another shape.
    """
    weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    problems = []
    try:
        missing, unknown = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        problems = [line.strip() for line in str(error).splitlines()[1:]]
    else:
        # Counters that nothing reads; some codebases do not save them.
        missing = [key for key in missing if not key.endswith('num_batches_tracked')]
        for what, keys in (('missing', missing), ('unknown to the model', unknown)):
            if keys and strict:
                names = ', '.join(keys[:_SHOWN]) + ', …' * (len(keys) > _SHOWN)
                problems.append(f'{len(keys)} {what} ({names})')
    if problems:
        raise ValueError(
            f'the weights{where} do not fit the model: {"; ".join(problems[:_SHOWN])}. '
            'Is it the model they were trained with? `mmpose-lite convert` converts '
            'those of the research codebases'
        )


def find_dataset_meta(checkpoint: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """Names and pairs of keypoints, where MMPose looks for them, and further."""
    meta = (checkpoint.get('meta') or {}).get('dataset_meta')
    for loader in ('train', 'val', 'test'):
        if not meta and config.get(f'{loader}_dataloader'):
            meta = dataset_meta_from_config(config, loader)
    if not meta:
        raise ValueError('neither checkpoint nor config names a data set')
    return dict(meta)


def get_model(
    name: str,
    weights: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    device: str | None = 'cpu',
) -> nn.Module:
    """A pose estimator by name, in eval mode.

    Args:
        name: Name or alias in the zoo, or path of a config.
        weights: Checkpoint, as for :func:`load_model`; ``'DEFAULT'`` for the public one
            of ``name``; random weights if not given.

    Raises:
        OSError: If the weights cannot be read.
        ValueError: If the name is unknown (the message lists the nearest ones), there
            are no public weights, or they do not fit.

    Example:
        >>> import mmpose_lite
        >>> model = mmpose_lite.get_model('litehrnet-18', 'DEFAULT')  # doctest: +SKIP
    """
    model = find_model(name)
    if isinstance(weights, str) and weights == DEFAULT:
        weights = fetch_weights(name)
    return load_model(model.config, weights, device=device)
