"""What configs must share to be held against each other, and how they are made to."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
EVALUATORS = ('val_evaluator', 'test_evaluator')


def plain(value: Any) -> Any:
    """A config's value as JSON has it, without MMEngine's notes."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items() if not str(k).startswith('_')}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _data(loader: Mapping[str, Any]) -> Any:
    """What a loader reads."""
    names = ('type', 'data_root', 'ann_file', 'data_prefix', 'bbox_file', 'indices')
    return {name: loader['dataset'].get(name) for name in names}


def _starting_weights(cfg: Config) -> list[str]:
    """Files that the training begins from."""

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, Mapping):
            if str(value.get('type')).endswith('Pretrained'):
                yield str(value.get('checkpoint'))
            value = value.values()
        elif not isinstance(value, list | tuple):
            return
        for item in value:
            yield from walk(item)

    given = [cfg.load_from] if cfg.get('load_from') else []
    return sorted([*given, *walk(cfg.model)])


def _augmentation(cfg: Config) -> list[Any]:
    """The training pipeline, without what follows from input size and codec."""
    steps = plain(cfg.train_dataloader.dataset.pipeline)
    return [
        {k: v for k, v in step.items() if k not in ('input_size', 'encoder')}
        for step in steps
    ]


# Where configs depart in these, the comparison means nothing.
BUDGET: dict[str, Callable[[Config], Any]] = {
    'epochs': lambda cfg: cfg.train_cfg.get('max_epochs'),
    'batch size': lambda cfg: (
        cfg.train_dataloader.batch_size
        * cfg.optim_wrapper.get('accumulative_counts', 1)
    ),
    'training data': lambda cfg: _data(cfg.train_dataloader),
    'test data': lambda cfg: _data(cfg.test_dataloader),
    'input size (w, h)': lambda cfg: cfg.model.head.decoder.input_size,
    'metrics': lambda cfg: cfg.test_evaluator,
    'flip test': lambda cfg: cfg.model.get('test_cfg', {}).get('flip_test', False),
    'weights to begin with': _starting_weights,
}
# Families have their own here; that is said beside the figures.
MANNER: dict[str, Callable[[Config], Any]] = {
    'optimizer': lambda cfg: cfg.optim_wrapper,
    'schedule': lambda cfg: cfg.param_scheduler,
    'augmentation': _augmentation,
    'targets': lambda cfg: cfg.model.head.decoder,
    'loss': lambda cfg: cfg.model.head.get('loss'),
    'hooks': lambda cfg: [hook.type for hook in cfg.get('custom_hooks', ())],
}


def _most_common(values: Sequence[str]) -> str:
    """The value that most have; of several, the one that comes first."""
    counts = Counter(values)
    return max(values, key=lambda value: counts[value])


def departures(
    configs: Mapping[str, Config], parts: Mapping[str, Callable[[Config], Any]]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The recipe that most configs share, and who has another.

    Args:
        configs: Name to config.
        parts: Part of a recipe to how it is read, :data:`BUDGET` or :data:`MANNER`.

    Returns:
        Part to the shared value, and per name, part to a value that is not the shared
        one.
    """
    shared: dict[str, Any] = {}
    departing: dict[str, dict[str, Any]] = {name: {} for name in configs}
    for part, read in parts.items():
        found = {
            name: json.dumps(plain(read(cfg)), sort_keys=True, default=str)
            for name, cfg in configs.items()
        }
        usual = _most_common(list(found.values()))
        shared[part] = json.loads(usual)
        for name, value in found.items():
            if value != usual:
                departing[name][part] = json.loads(value)
    return shared, departing


def refusals(configs: Mapping[str, Config]) -> list[str]:
    """Why these configs cannot be compared, in sentences; none if they can."""
    shared, departing = departures(configs, BUDGET)
    return [
        f'{name} departs in {part}: {value!r}, where the others have {shared[part]!r}'
        for name, parts in departing.items()
        for part, value in parts.items()
    ]


def prepare(
    cfg: Config, data_root: str | None = None, epochs: int | None = None
) -> Config:
    """A config that trains on the given data for the given time and can be resumed.

    Args:
        cfg: The config; it is changed.
        data_root: Folder in the place of the config's own.
        epochs: Epochs in the place of the config's own. Schedules, warm-up included,
            and intervals of validation become shorter or longer along with them.

    Returns:
        ``cfg``.

    Raises:
        ValueError: If it does not train by epochs.
    """
    own = cfg.train_cfg.get('max_epochs')
    if own is None:
        raise ValueError(
            f'train_cfg must have max_epochs, got {plain(cfg.train_cfg)!r}: only '
            'trainings by epochs can be compared and resumed'
        )
    if data_root is not None:
        _move_data(cfg, f'{data_root.rstrip("/")}/')
    if epochs is not None and epochs != own:
        cfg.train_cfg.max_epochs = epochs
        interval = cfg.train_cfg.get('val_interval', 1)
        cfg.train_cfg.val_interval = max(1, round(interval * epochs / own))
        schedulers = cfg.get('param_scheduler') or []
        for one in [schedulers] if isinstance(schedulers, Mapping) else schedulers:
            _stretch(one, epochs / own)
    imports = cfg.get('custom_imports') or dict(imports=[])
    modules = imports['imports']
    modules = [modules] if isinstance(modules, str) else list(modules)
    cfg.custom_imports = dict(
        imports=list(dict.fromkeys(['mmpose_lite', *modules])),
        allow_failed_imports=False,
    )
    # All that a resume needs, whatever the config saves by itself.
    hook = dict(
        type='mmpose_lite.AtomicCheckpointHook',
        interval=1,
        by_epoch=True,
        max_keep_ckpts=1,
        save_optimizer=True,
        save_param_scheduler=True,
    )
    cfg.merge_from_dict({'default_hooks.checkpoint': hook})
    hooks = list(cfg.get('custom_hooks', ()))
    if not any(hook['type'].endswith('EpochSeedHook') for hook in hooks):
        cfg.custom_hooks = [*hooks, dict(type='mmpose_lite.EpochSeedHook')]
    return cfg


def _move_data(cfg: Config, root: str) -> None:
    """Read all data below ``root``, also what evaluators read."""
    former = cfg.train_dataloader.dataset.get('data_root') or ''
    for name in LOADERS:
        dataset = cfg[name].dataset
        dataset.data_root = root
        if dataset.get('bbox_file'):
            dataset.bbox_file = _below(root, former, dataset.bbox_file)
    for name in EVALUATORS:
        found = cfg[name]
        for evaluator in [found] if isinstance(found, Mapping) else found:
            if 'ann_file' in evaluator:
                evaluator['ann_file'] = _below(root, former, evaluator['ann_file'])


def _below(root: str, former: str, path: str) -> str:
    """A path below the former root, below the new one."""
    if former and path.startswith(former):
        return root + path.removeprefix(former)
    return path


def _stretch(scheduler: dict[str, Any], factor: float) -> None:
    """Let a schedule take ``factor`` times as long."""

    def scaled(value: float) -> float:
        return value if math.isinf(value) else round(value * factor)

    for name in ('begin', 'end', 'T_max', 'step_size'):
        if name in scheduler:
            # A warm-up shorter than one step is none, but still an interval.
            least = 0 if name == 'begin' else 1
            scheduler[name] = max(least, scaled(scheduler[name]))
    if 'milestones' in scheduler:
        scheduler['milestones'] = [scaled(epoch) for epoch in scheduler['milestones']]
