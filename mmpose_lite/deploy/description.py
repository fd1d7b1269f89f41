"""The contract of a pose estimator, from what its config says."""

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
from torch import nn

from .estimator import codec_name, has_vectors, pipeline_of
from .runtime import Contract
from .runtime.codecs import axis_split, check_codec
from .runtime.simcc import vector_sizes

# What a test pipeline may do: the runtime does the same.
KNOWN_STEPS = ('LoadImage', 'GetBBoxCenterScale', 'TopdownAffine', 'PackPoseInputs')
# Where images come from does not matter to the network.
_LOADING = {'type', '_scope_', 'backend_args'}
_VERSIONS = ('torch', 'mmpose', 'onnx')


def describe(
    estimator: nn.Module, checkpoint: str | os.PathLike[str], **more: Any
) -> Contract:
    """Contract of an estimator that :func:`load_estimator` returned.

    Args:
        estimator: The pose estimator.
        checkpoint: Where its weights came from.
        **more: Further entries of the contract.

    Raises:
        ValueError: If the config asks for something that cannot be done without MMPose;
            the message names it.
    """
    config, meta = estimator.cfg, estimator.dataset_meta
    names = [meta['keypoint_id2name'][i] for i in range(meta['num_keypoints'])]
    codec = _codec(config.model.head.decoder)
    test = dict(config.model.get('test_cfg') or {})
    _check_test(test)
    contract = Contract(
        **_colours(dict(config.model.data_preprocessor)),
        **_crops(pipeline_of(config), codec['input_size']),
        **codec,
        flip_test=bool(test.get('flip_test', False)),
        shift_heatmap=bool(test.get('shift_heatmap', False)),
        keypoint_names=tuple(names),
        skeleton=tuple((int(a), int(b)) for a, b in meta['skeleton_links']),
        flip_pairs=tuple(
            (i, int(j)) for i, j in enumerate(meta['flip_indices']) if i < j
        ),
        source=_source(config, meta, checkpoint),
        versions={'python': platform.python_version()}
        | {name: str(import_module(name).__version__) for name in _VERSIONS},
        **more,
    )
    check_codec(contract)
    _check_output(estimator, contract)
    return contract


def _codec(decoder: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of the contract about the output."""
    # As json has it: lists, no tuples.
    options = json.loads(json.dumps(decoder))
    options.pop('_scope_', None)
    input_size = tuple(options.pop('input_size'))
    if has_vectors(options):
        ratio = {k: v for k, v in options.items() if k == 'simcc_split_ratio'}
        heatmap_size = vector_sizes(input_size, **ratio)
    else:
        heatmap_size = tuple(options.pop('heatmap_size'))
    name = codec_name(options)
    del options['type']
    return dict(
        input_size=input_size,
        heatmap_size=heatmap_size,
        codec=name,
        codec_options=options,
    )


def _check_test(test: Mapping[str, Any]) -> None:
    if test.get('flip_mode', 'heatmap') != 'heatmap':
        raise ValueError(f"flip_mode must be 'heatmap', got {test['flip_mode']!r}")
    if test.get('output_keypoint_indices') is not None:
        raise ValueError('output_keypoint_indices cannot be exported')


def _colours(preprocessor: dict[str, Any]) -> dict[str, Any]:
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
    steps = {str(step['type']).rpartition('.')[2]: step for step in pipeline}
    unknown = [name for name in steps if name not in KNOWN_STEPS]
    missing = [name for name in KNOWN_STEPS[1:3] if name not in steps]
    if unknown or missing or steps.get('LoadImage', {}).keys() - _LOADING:
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


def _source(
    config: Config, meta: Mapping[str, Any], checkpoint: str | os.PathLike[str]
) -> dict[str, str]:
    path = Path(checkpoint)
    return dict(
        config=Path(config.filename or 'unnamed').name,
        checkpoint=path.name,
        checkpoint_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        dataset=str(meta.get('dataset_name', 'unnamed')),
    )


def _check_output(estimator: nn.Module, contract: Contract) -> None:
    """Try the estimator: the contract shall not promise what it does not return."""
    width, height = contract.input_size
    with torch.no_grad():
        found = estimator(torch.zeros(1, 3, height, width), None, mode='tensor')
    count, sizes = len(contract.keypoint_names), contract.heatmap_size
    wanted = [(1, count, *sizes[::-1])]
    if axis_split(contract) is not None:
        wanted = [(1, count, size) for size in sizes]
    maps = found if isinstance(found, tuple) else (found,)
    shapes = [tuple(getattr(one, 'shape', ())) for one in maps]
    if shapes != wanted:
        raise ValueError(f'the network returns {shapes}, its config says {wanted}')
