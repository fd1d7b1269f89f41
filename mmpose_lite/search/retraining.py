"""From the config of a search to one that trains what it found, and stands alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from .config_text import difference, format_assignment, without_scope

BASE = 'mmpose::_base_/default_runtime.py'
FOLDER = '{{fileDirname}}'
"""MMEngine puts the folder of a config in its place."""
# What acts on the supernet, or on weights that are about to be shrunk.
SEARCH_HOOKS = ('ShrinkHook', 'PenaltyHook', 'BNRecalibrationHook', 'EMAHook')
# What a run is made from, in the order of the written config. Paths of the run itself
# (work_dir, load_from, …) and helper variables of the search's config stay behind.
ABOUT_THE_RUN = (
    *('default_scope', 'env_cfg', 'model_wrapper_cfg', 'backend_args', 'randomness'),
    *('log_level', 'log_processor', 'vis_backends', 'visualizer'),
    *('train_cfg', 'val_cfg', 'test_cfg', 'optim_wrapper', 'param_scheduler'),
    *('auto_scale_lr', 'default_hooks', 'custom_hooks'),
)
SHARED = {
    'codec': ('model', 'head', 'decoder'),
    'data_root': ('train_dataloader', 'dataset', 'data_root'),
    'train_pipeline': ('train_dataloader', 'dataset', 'pipeline'),
    'val_pipeline': ('val_dataloader', 'dataset', 'pipeline'),
}
ABOUT_THE_DATA = (
    *('train_dataloader', 'val_dataloader', 'test_dataloader'),
    *('val_evaluator', 'test_evaluator'),
)


def last_name(config: Mapping[str, Any]) -> str:
    """The ``type`` of a config without its scope."""
    return str(config.get('type')).rpartition('.')[2]


def retraining_config(
    search: Mapping[str, Any], backbone: Mapping[str, Any]
) -> dict[str, Any]:
    """The config of a search with a fixed network in place of the supernet.

    Args:
        search: Config of the search, in plain dicts.
        backbone: What the backbone's config shall say about its architecture.

    Returns:
        All that a run is made from; nothing of it knows of the search.

    Raises:
        ValueError: If the searched model has no ``HRNASNet`` as its backbone.
    """
    model = dict(search.get('model', {}))
    former = model.get('backbone', {})
    if last_name(former) != 'HRNASNet':
        raise ValueError(
            f"the config's model.backbone must be an HRNASNet, got {former!r}"
        )
    model.pop('resource', None)
    if last_name(model) == 'SearchablePoseEstimator':
        model['type'] = 'TopdownPoseEstimator'
    kept = {k: v for k, v in former.items() if k not in ('type', 'arch', 'space')}
    model['backbone'] = dict(type='mmpose_lite.HRNASNet', **kept, **backbone)
    for part in (model, model['backbone']):
        # Weights of the supernet do not fit.
        if last_name(part.get('init_cfg') or {}) == 'Pretrained':
            del part['init_cfg']
    found = {key: search[key] for key in ABOUT_THE_RUN if key in search}
    found.setdefault('default_scope', 'mmpose')
    found['custom_hooks'] = [
        hook
        for hook in search.get('custom_hooks') or ()
        if last_name(hook) not in SEARCH_HOOKS
    ]
    modules = (search.get('custom_imports') or {}).get('imports', ())
    modules = [modules] if isinstance(modules, str) else list(modules)
    found['custom_imports'] = dict(
        imports=list(dict.fromkeys(['mmpose_lite', *modules])),
        allow_failed_imports=False,
    )
    found['model'] = model
    found.update({key: search[key] for key in ABOUT_THE_DATA if key in search})
    return without_scope(found, found['default_scope'])


def shared_parts(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a config says more than once, by the names that MMPose's files use."""
    parts = {}
    for name, path in SHARED.items():
        value: Any = config
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value:
            parts[name] = value
    return parts


def format_config(config: Mapping[str, Any], header: Sequence[str]) -> str:
    """A config file below comments, on MMPose's default runtime.

    Args:
        config: See :func:`retraining_config`.
        header: Lines of the comment at its head.
    """
    return '\n'.join([*_comment(header), *_statements(config), ''])


def _comment(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        # Whatever a line holds, it must not end the comment.
        yield f'# {" ".join(line.splitlines())}'.rstrip()


def _statements(config: Mapping[str, Any]) -> Iterator[str]:
    base = default_runtime()
    yield f'_base_ = [{BASE!r}]'
    yield format_assignment('custom_imports', config['custom_imports'], {})
    yield ''
    for name in ABOUT_THE_RUN:
        value, given = config.get(name), base.get(name)
        if name not in config or value == given:
            continue
        if isinstance(value, Mapping) and isinstance(given, Mapping):
            value = difference(given, value)
        yield format_assignment(name, value, {})
    shared = shared_parts(config)
    known: dict[str, Any] = {}
    for name in ('codec', 'model', *SHARED, *ABOUT_THE_DATA):
        value = {**config, **shared}.get(name)
        if value is None or name in known:
            continue
        if name in ('codec', 'model', 'data_root', 'train_dataloader', 'val_evaluator'):
            yield ''
        yield format_assignment(name, value, known)
        if name in (*SHARED, 'val_dataloader', 'val_evaluator'):
            known[name] = value
        if name == 'codec' and 'input_size' in value:
            known["codec['input_size']"] = value['input_size']


def default_runtime() -> dict[str, Any]:
    """What MMPose's default runtime says."""
    config = Config.fromstring(f'_base_ = [{BASE!r}]', '.py')
    return without_scope(config.to_dict(), 'mmpose')
