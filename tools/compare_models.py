"""Train and test configs under one recipe: ``compare_models.py CONFIG... --out DIR``.

Every config is trained from scratch on the same data for the same number of steps, once
per seed, and its last weights are tested. Configs that differ in what a budget is
(data, epochs, batch size, input size, metrics, weights to begin with) are refused; an
optimizer, a schedule or an augmentation of their own is noted in the table. DIR gets
results.md, results.json, and the config, logs and weights of every run. Finished runs
are skipped and a killed training is resumed, so the same command goes on where it was
stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from mmpose_lite.analysis import complexity
from mmpose_lite.io.files import write_atomically
from mmpose_lite.io.logs import read_scalars
from mmpose_lite.io.markdown import fill_marked, markdown_table
from mmpose_lite.mim import MimError, run_mim

# --- What configs must share, and what is noted where they differ ---------------------


def plain(value: Any) -> Any:
    """A config's value as JSON has it, without MMEngine's notes."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items() if not str(k).startswith('_')}
    return [*map(plain, value)] if isinstance(value, list | tuple) else value


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    """All mappings in a value."""
    if isinstance(value, Mapping):
        yield value
        value = [*value.values()]
    for item in value if isinstance(value, list | tuple) else ():
        yield from _dicts(item)


def _data(loader: Mapping[str, Any]) -> Any:
    names = ('type', 'data_root', 'ann_file', 'data_prefix', 'bbox_file', 'indices')
    return {name: loader['dataset'].get(name) for name in names}


def _starting_weights(cfg: Config) -> list[str]:
    given = [d for d in _dicts(cfg.model) if 'Pretrained' in str(d.get('type'))]
    files = (cfg.get('load_from'), *(d['checkpoint'] for d in given))
    return sorted(filter(None, files))


def _augmentation(cfg: Config) -> Any:
    given = ('input_size', 'encoder')  # by input size and codec
    steps = cfg.train_dataloader.dataset.pipeline
    return [{k: v for k, v in step.items() if k not in given} for step in steps]


PARTS: Mapping[str, Callable[[Config], Any]] = {
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
    'optimizer': lambda cfg: cfg.optim_wrapper,
    'schedule': lambda cfg: cfg.param_scheduler,
    'augmentation': _augmentation,
    'targets': lambda cfg: cfg.model.head.decoder,
    'loss': lambda cfg: cfg.model.head.get('loss'),
    'hooks': lambda cfg: [hook.type for hook in cfg.get('custom_hooks', ())],
}
# Where configs differ in one of these, a comparison would mean nothing; what they have
# of their own among the others is noted beside their figures.
BUDGET = [*PARTS][:8]


def departures(
    configs: Mapping[str, Config],
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What most configs share, by part, and by name what a config has of its own."""
    shared: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {name: {} for name in configs}
    for part, read in PARTS.items():
        found = {
            name: json.dumps(plain(read(cfg)), sort_keys=True, default=str)
            for name, cfg in configs.items()
        }
        ((usual, _),) = Counter(found.values()).most_common(1)
        shared[part] = json.loads(usual)
        for name, value in found.items():
            if value != usual:
                own[name][part] = json.loads(value)
    unequal = [
        f'{name} departs in {part}: {value!r}, where the others have {shared[part]!r}'
        for name, parts in own.items()
        for part, value in parts.items()
        if part in BUDGET
    ]
    if unequal:
        raise ValueError('\n'.join(['no comparison of unequal budgets:', *unequal]))
    return shared, own


# --- What is trained ------------------------------------------------------------------


def prepare(cfg: Config, epochs: int | None = None) -> Config:
    """A config, changed in place, that trains for the given time and can be resumed.

    Schedules, warm-up included, and the interval of validations follow ``epochs`` in
    proportion. ValueError if it does not train by epochs.
    """
    own = cfg.train_cfg.get('max_epochs')
    if own is None:
        raise ValueError(f'train_cfg must have max_epochs, got {plain(cfg.train_cfg)}')
    if epochs not in (None, own):
        interval = cfg.train_cfg.get('val_interval', 1) * epochs / own
        cfg.train_cfg.update(max_epochs=epochs, val_interval=max(1, round(interval)))
        for schedule in _dicts(cfg.get('param_scheduler')):
            _stretch(schedule, epochs / own)
    imports = (cfg.get('custom_imports') or {}).get('imports', [])
    imports = [imports] if isinstance(imports, str) else imports
    cfg.custom_imports = dict(
        imports=['mmpose_lite', *(name for name in imports if name != 'mmpose_lite')],
        allow_failed_imports=False,
    )
    # All that a resume needs, whatever the config saves by itself.
    saving = dict(save_optimizer=True, save_param_scheduler=True, max_keep_ckpts=1)
    hook = dict(type='mmpose_lite.AtomicCheckpointHook', interval=1, by_epoch=True)
    cfg.merge_from_dict({'default_hooks.checkpoint': hook | saving})
    hooks = list(cfg.get('custom_hooks', ()))
    if not any(hook['type'].endswith('EpochSeedHook') for hook in hooks):
        cfg.custom_hooks = [*hooks, dict(type='mmpose_lite.EpochSeedHook')]
    return cfg


def _stretch(schedule: dict[str, Any], factor: float) -> None:
    """Let a schedule take ``factor`` times as long."""

    def scaled(value: float) -> float:
        return value if math.isinf(value) else round(value * factor)

    for name in ('begin', 'end', 'T_max', 'step_size'):
        if name in schedule:
            # A warm-up shorter than one step is none, but still an interval.
            schedule[name] = max(int(name != 'begin'), scaled(schedule[name]))
    if 'milestones' in schedule:
        schedule['milestones'] = [scaled(epoch) for epoch in schedule['milestones']]


def read_configs(args: argparse.Namespace) -> dict[str, Config]:
    """Configs by name, as they are trained."""
    configs: dict[str, Config] = {}
    for path in args.configs:
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(args.cfg_options)
        if path.stem in configs:
            raise ValueError(f'two configs are named {path.stem}')
        configs[path.stem] = prepare(cfg, args.epochs)
    return configs


def write_configs(configs: Mapping[str, Config], out: Path) -> None:
    """Write what is trained, unless the folder holds another recipe."""
    out.mkdir(parents=True, exist_ok=True)
    for name, cfg in configs.items():
        path, text = out / f'{name}.py', cfg.pretty_text
        if path.exists() and path.read_text() != text:
            what = f'{path} is another recipe than the one asked for now'
            raise ValueError(f'{what}; choose another --out, or remove it and its runs')
        write_atomically(path, text.encode())


def train_and_test(config: Path, work_dir: Path, seed: int, gpus: int) -> None:
    """Train from scratch, or resume, test the last weights, write ``result.json``."""
    seeded = [f'randomness.seed={seed}']
    run_mim('train', config, work_dir, '--resume', options=seeded, gpus=gpus)
    weights = (work_dir / 'last_checkpoint').read_text()
    run_mim('test', config, work_dir / 'test', '--checkpoint', weights, gpus=gpus)
    # Mapped, because only a number is read.
    meta = torch.load(weights, map_location='cpu', mmap=True)['meta']
    found = read_scalars(work_dir / 'test')[-1]
    # A median, so that a pause does not count.
    times = [one['time'] for one in read_scalars(work_dir) if 'loss' in one]
    found |= dict(steps=meta['iter'], seconds=median(times))
    write_atomically(work_dir / 'result.json', json.dumps(found).encode())


# --- Report ---------------------------------------------------------------------------


def describe(configs: Mapping[str, Config]) -> tuple[dict[str, Any], list[dict]]:
    """The recipe that configs share, and a row for each."""
    shared, own = departures(configs)
    first, images = next(iter(configs.values())), []
    for dataset in (first.train_dataloader.dataset, first.test_dataloader.dataset):
        path = Path(dataset.get('data_root') or '', dataset.ann_file)
        images.append(f'{path.stem} ({len(json.loads(path.read_text())["images"])})')
    rows = []
    for name, cfg in configs.items():
        width, height = cfg.model.head.decoder.input_size
        cost = complexity(MODELS.build(cfg.model), (height, width))
        row = dict(config=name, params=cost.params, macs=cost.macs, own=own[name])
        rows.append(row | dict(runs={}, failed=[]))
    return dict(images=' / '.join(images)) | shared, rows


def figure(values: Sequence[float], digits: int = 3) -> str:
    """A mean, with the standard deviation where there are several values."""
    spread = f' ± {stdev(values):.{digits}f}' if len(values) > 1 else ''
    return f'{mean(values):.{digits}f}{spread}' if values else '–'


def call(value: Any) -> str:
    """A config's value as calls, ``Adam(lr=0.002)``; what is None is left out."""
    if isinstance(value, Mapping):
        named = {k: v for k, v in value.items() if k != 'type' and v is not None}
        given = ', '.join(f'{key}={call(item)}' for key, item in named.items())
        return f'{value.get("type", "dict")}({given})'
    return f'[{", ".join(map(call, value))}]' if isinstance(value, list) else str(value)


def markdown(
    rows: Sequence[Mapping[str, Any]], metrics: Sequence[str], shared: Mapping[str, Any]
) -> str:
    """The table with the shared recipe above, and who departs from it below."""
    notes: dict[str, int] = {}
    cells = []
    for row in rows:
        own = [f'{part}: `{call(value)}`' for part, value in row['own'].items()]
        marks = ''.join(f' [{notes.setdefault(n, len(notes) + 1)}]' for n in own)
        runs = [*row['runs'].values()]
        cells.append([
            row['config'] + marks,
            f'{row["params"] / 1e6:.3f} M', f'{row["macs"] / 1e6:.1f} M',
            str(runs[-1]['steps']) if runs else '–',
            ' '.join(row['runs']) or ('failed' if row['failed'] else 'not yet'),
            *(figure([r[name] for r in runs if name in r]) for name in metrics),
            figure([run['seconds'] for run in runs], 2),
            figure([run['steps'] * run['seconds'] / 60 for run in runs], 1),
        ])  # fmt: skip
    header = ['config', 'params', 'MACs', 'steps', 'seeds', *metrics]
    failed = [f'- {row["config"]}, {text}' for row in rows for text in row['failed']]
    parts = (
        '\n'.join(f'- {part}: `{call(value)}`' for part, value in shared.items()),
        markdown_table([*header, 's/step', 'minutes'], cells),
        '\n'.join(f'- [{number}] {note}' for note, number in notes.items()),
        '\n'.join(['Failed:', '', *failed]) if failed else '',
    )
    return '\n\n'.join(filter(None, parts)) + '\n'


def parse_args(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('configs', type=Path, nargs='+', metavar='CONFIG')
    add('--out', type=Path, required=True, help='folder of the results')
    add('--epochs', type=int, help="in place of the configs' own; schedules follow")
    add('--seeds', type=int, nargs='+', default=[0])
    add('--metrics', nargs='+', default=['PCK', 'coco/AP'])
    add('--update', type=Path, metavar='PAGE', help='document that gets the table')
    add('--gpus', type=int, default=0, help='0 for the CPU')
    add('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Compare; 1 if a run failed."""
    args = parse_args(words)
    out = args.out.resolve()
    # Ends like an error, so that what was started ends, too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    init_default_scope('mmpose')
    try:
        configs = read_configs(args)
        shared, rows = describe(configs)
        write_configs(configs, out)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f'error: {error}')
    runs = [(row, seed) for seed in args.seeds for row in rows]
    for number, (row, seed) in enumerate(runs, 1):
        name = row['config']
        result = out / f'{name}-{seed}' / 'result.json'
        try:
            if not result.exists():
                print(f'== {number}/{len(runs)} {name}, seed {seed}', flush=True)
                train_and_test(out / f'{name}.py', result.parent, seed, args.gpus)
            row['runs'][str(seed)] = json.loads(result.read_text())
        except MimError as error:
            print(error, file=sys.stderr, flush=True)
            row['failed'].append(f'seed {seed}: {error.log.name}')
        text = markdown(rows, args.metrics, shared)
        write_atomically(out / 'results.md', text.encode())
        content = json.dumps(dict(recipe=shared, rows=rows), indent=1)
        write_atomically(out / 'results.json', content.encode())
    if args.update:
        filled = fill_marked(args.update.read_text(), 'comparison', text)
        write_atomically(args.update, filled.encode())
    print(f'\n{text}')
    return int(any(row['failed'] for row in rows))


if __name__ == '__main__':
    sys.exit(main())
