"""A pose estimator of MMPose: its config, its contract, and its function to export."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from ..loading import read_config
from .runtime import Contract
from .runtime.codecs import DECODERS, axis_split, check_codec, vector_sizes

# What a test pipeline may do: the runtime does the same.
KNOWN_STEPS = ('LoadImage', 'GetBBoxCenterScale', 'TopdownAffine', 'PackPoseInputs')
# Where images come from does not matter to the network.
_LOADING = {'type', '_scope_', 'backend_args'}


class EstimatorGraph(nn.Module):
    """A pose estimator of MMPose as a function from images to heatmaps.

    Shape:
        - Input: ``(B, 3, H, W)``, normalised.
        - Output: ``(B, K, h, w)``, or what the head gives instead: vectors
          ``(B, K, Wx)`` and ``(B, K, Wy)``.
    """

    def __init__(self, estimator: nn.Module) -> None:
        super().__init__()
        self.estimator = estimator
        self.training = estimator.training

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Heatmaps before decoding."""
        return self.estimator(images, None, mode='tensor')


def sized_config(
    path: str | os.PathLike[str], image_size: tuple[int, int] | None = None
) -> Config:
    """Config of an estimator, for images of another (height, width) px if one is given.

    Raises:
        ValueError: If the config has no codec, or heatmaps of that size would not be
            whole pixels, the network is for one size only, or it is no Python.
        OSError: If it cannot be read.
    """
    config = read_config(path)
    codec = config.model.get('head', {}).get('decoder')
    vectors = isinstance(codec, Mapping) and _has_vectors(codec)
    needed = {'input_size'} if vectors else {'input_size', 'heatmap_size'}
    if not isinstance(codec, Mapping) or not needed <= {*codec}:
        raise ValueError(f'{path}: model.head.decoder names no codec with heatmaps')
    if image_size is None or tuple(image_size[::-1]) == tuple(codec['input_size']):
        return config
    if vectors:
        raise ValueError(
            f'input_size must be that of the config: a head with vectors has layers '
            f'for {tuple(codec["input_size"])} (w, h) only, got {image_size}'
        )
    size = tuple(image_size[::-1])
    sizes = zip(size, codec['heatmap_size'], codec['input_size'], strict=True)
    shrunk = [new * heatmap / old for new, heatmap, old in sizes]
    if any(not side.is_integer() for side in shrunk):
        raise ValueError(
            f'input_size {image_size} (height, width) gives heatmaps of '
            f'{shrunk[1]} x {shrunk[0]} px; they must be whole'
        )
    config.model.head.decoder.update(
        input_size=size, heatmap_size=tuple(int(side) for side in shrunk)
    )
    for step in _pipeline(config):
        if _name(step) == 'TopdownAffine':
            step['input_size'] = size
    return config


def _has_vectors(codec: Mapping[str, Any]) -> bool:
    known = DECODERS.get(_name(codec))
    return known is not None and known.vectors


def _name(entry: Mapping[str, Any]) -> str:
    """Name of a config's codec or step, without its registry."""
    return str(entry.get('type', '')).rpartition('.')[2]


def _pipeline(config: Config) -> list[Any]:
    loader = config.get('test_dataloader') or config.get('val_dataloader')
    if not loader or 'pipeline' not in loader['dataset']:
        raise ValueError('the config has no test_dataloader with a pipeline')
    return list(loader['dataset']['pipeline'])


def describe(
    estimator: nn.Module,
    checkpoint: str | os.PathLike[str],
    source: Mapping[str, str],
    versions: Mapping[str, str],
    **more: Any,
) -> Contract:
    """Contract of an estimator that :func:`mmpose_lite.loading.load_model` returned.

    ``source`` and ``versions`` are added to the contract's own, ``more`` are its other
    entries. ValueError names what cannot be done without MMPose.
    """
    config, meta, path = estimator.cfg, estimator.dataset_meta, Path(checkpoint)
    codec = _codec(config.model.head.decoder)
    test = config.model.get('test_cfg') or {}
    if test.get('flip_mode', 'heatmap') != 'heatmap':
        raise ValueError(f"flip_mode must be 'heatmap', got {test['flip_mode']!r}")
    if test.get('output_keypoint_indices') is not None:
        raise ValueError('output_keypoint_indices cannot be exported')
    packages = ('mmpose_lite', 'torch', 'mmpose', 'cv2')
    contract = Contract(
        **_colours(config.model.data_preprocessor),
        **_crops(_pipeline(config), codec['input_size']),
        **codec,
        flip_test=bool(test.get('flip_test', False)),
        shift_heatmap=bool(test.get('shift_heatmap', False)),
        keypoint_names=tuple(
            meta['keypoint_id2name'][i] for i in range(meta['num_keypoints'])
        ),
        skeleton=tuple((int(a), int(b)) for a, b in meta['skeleton_links']),
        flip_pairs=tuple(
            (i, int(j)) for i, j in enumerate(meta['flip_indices']) if i < j
        ),
        source=dict(
            config=Path(config.filename or 'unnamed').name,
            checkpoint=path.name,
            checkpoint_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            dataset=str(meta.get('dataset_name', 'unnamed')),
            **source,
        ),
        versions=dict(
            python=platform.python_version(),
            **{name: str(import_module(name).__version__) for name in packages},
            **versions,
        ),
        **more,
    )
    check_codec(contract)
    _check_output(estimator, contract)
    return contract


def _codec(decoder: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of the contract about the output."""
    # As json has it: lists, no tuples.
    options = json.loads(json.dumps(decoder))
    input_size = tuple(options.pop('input_size'))
    if _has_vectors(options):
        ratio = {k: v for k, v in options.items() if k == 'simcc_split_ratio'}
        heatmap_size = vector_sizes(input_size, **ratio)
    else:
        heatmap_size = tuple(options.pop('heatmap_size'))
    rest = {k: v for k, v in options.items() if k not in ('type', '_scope_')}
    sizes = dict(input_size=input_size, heatmap_size=heatmap_size)
    return dict(**sizes, codec=_name(options), codec_options=rest)


def _colours(preprocessor: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of the contract about values of pixels."""
    if preprocessor.get('pad_size_divisor', 1) != 1:
        raise ValueError('pad_size_divisor of the data_preprocessor must be 1')
    mean = preprocessor.get('mean') or [0.0]
    std = preprocessor.get('std') or [1.0]
    # Either swaps the channels of images, which are loaded as BGR.
    swap = preprocessor.get('bgr_to_rgb') or preprocessor.get('rgb_to_bgr')
    return dict(
        mean=tuple(float(v) for v in (mean * 3 if len(mean) == 1 else mean)),
        std=tuple(float(v) for v in (std * 3 if len(std) == 1 else std)),
        channel_order='rgb' if swap else 'bgr',
    )


def _crops(pipeline: list[Any], input_size: tuple[int, int]) -> dict[str, Any]:
    """Entries of the contract about the geometry of crops."""
    steps = {_name(step): step for step in pipeline}
    known = {*KNOWN_STEPS[1:3]} <= {*steps} <= {*KNOWN_STEPS}
    if not known or steps.get('LoadImage', {}).keys() - _LOADING:
        raise ValueError(
            f'the test pipeline must be {KNOWN_STEPS}, LoadImage without options; '
            f'got {pipeline}'
        )
    affine = steps['TopdownAffine']
    if tuple(affine['input_size']) != input_size:
        raise ValueError(
            f'the test pipeline cuts {tuple(affine["input_size"])}, but the codec '
            f'is for {input_size}'
        )
    return dict(
        use_udp=bool(affine.get('use_udp', False)),
        box_padding=float(steps['GetBBoxCenterScale'].get('padding', 1.25)),
    )


def _check_output(estimator: nn.Module, contract: Contract) -> None:
    """Try the estimator: a contract promises nothing that a network does not return."""
    width, height = contract.input_size
    with torch.no_grad():
        found = EstimatorGraph(estimator)(torch.zeros(1, 3, height, width))
    count, sizes = len(contract.keypoint_names), contract.heatmap_size
    wanted = [(1, count, *sizes[::-1])]
    if axis_split(contract) is not None:
        wanted = [(1, count, size) for size in sizes]
    maps = found if isinstance(found, tuple) else (found,)
    shapes = [tuple(getattr(one, 'shape', ())) for one in maps]
    if shapes != wanted:
        raise ValueError(f'the network returns {shapes}, its config says {wanted}')
