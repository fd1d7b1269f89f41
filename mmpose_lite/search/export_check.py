"""Whether an export computes what the searched network computes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from mmpose.registry import DATASETS, MODELS
from torch import Tensor, nn

from .export import Export
from .result import SearchResult
from .retraining import retraining_config

TOLERANCE = 1e-6
"""Largest difference, relative to the largest output."""


def build(config: Mapping[str, Any]) -> nn.Module:
    """Pose estimator of a config, in eval mode.

    Raises:
        ValueError: If it cannot be built.
        ImportError: If a module of the config's ``custom_imports`` is missing.
    """
    import_modules_from_strings(**config['custom_imports'])
    init_default_scope(config['default_scope'])
    try:
        return MODELS.build(Config(dict(model=config['model'])).model).eval()
    except KeyError as error:  # a name that no registry knows
        raise ValueError(f'the model of the config cannot be built: {error}') from error


def build_network(
    config: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> nn.Module:
    """Pose estimator of a config with weights, which must fit strictly; eval mode.

    Raises:
        ValueError: If keys or shapes differ; see also :func:`build`.
    """
    model = build(config)
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ValueError(f'the weights do not fit the config: {error}') from error
    return model


def supernet(result: SearchResult) -> nn.Module:
    """The search's model with nothing removed, without its penalty."""
    return build(_supernet_config(result))


def _supernet_config(result: SearchResult) -> dict[str, Any]:
    return retraining_config(result.config, dict(space=asdict(result.space)))


def searched_network(result: SearchResult) -> nn.Module:
    """The network of a checkpoint: a supernet that takes on its weights' shapes."""
    return build_network(_supernet_config(result), result.weights)


def exported_network(files: Export) -> nn.Module:
    """The network of an export, from its files alone."""
    stored = torch.load(files.weights, map_location='cpu', weights_only=True)
    return build_network(Config.fromfile(files.config), stored['state_dict'])


def real_images(config: Mapping[str, Any], model: nn.Module, count: int = 4) -> Tensor:
    """First validation images as the network sees them, ``(B, 3, H, W)``.

    Raises:
        FileNotFoundError: If the data are not here.
    """
    loader = config.get('val_dataloader') or {}
    if not loader:
        raise FileNotFoundError('the config has no val_dataloader')
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # xtcocotools talks
            dataset = DATASETS.build(Config(dict(data=loader['dataset'])).data)
        samples = [dataset[i] for i in range(min(count, len(dataset)))]
    except (OSError, AssertionError) as error:
        raise FileNotFoundError(str(error)) from error
    return model.data_preprocessor(pseudo_collate(samples), False)['inputs']


def relative_difference(first: nn.Module, second: nn.Module, images: Tensor) -> float:
    """Largest difference of two networks' outputs over the first one's largest.

    Raises:
        ValueError: If outputs are not finite: that would compare nothing.
    """
    with torch.no_grad():
        pairs = [model._forward(images) for model in (first, second)]
    ours, theirs = (
        torch.cat([out.flatten() for out in ([o] if isinstance(o, Tensor) else o)])
        for o in pairs
    )
    if not ours.isfinite().all():
        raise ValueError("the outputs of the checkpoint's network are not finite")
    scale = float(ours.abs().max()) or 1.0
    return float((ours - theirs).abs().max()) / scale
