"""Train and test configs under one recipe: ``compare_models.py CONFIG... --out DIR``.

Every config is trained from scratch on the same data for the same number of steps, once
per seed, and its last weights are tested. Configs that differ in what a budget is
(data, epochs, batch size, input size, metrics, weights to begin with) are refused; an
optimizer, a schedule or an augmentation of their own is noted in the table. DIR gets
results.md, results.json, and the config, logs and weights of every run. Finished runs
are skipped and a killed training is resumed, so the same command goes on where it was
stopped. Paths of data are relative to the project.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import torch
from mim_runs import ROOT, Progress, StepFailed, exit_when_terminated, train_and_test
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from mmpose_lite.analysis import complexity
from mmpose_lite.io.files import write_atomically
from mmpose_lite.io.logs import read_scalars
from mmpose_lite.io.markdown import fill_marked, markdown_table

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


def _augmentation(cfg: Config) -> Any:
    given = ('input_size', 'encoder')  # by input size and codec
    steps = cfg.train_dataloader.dataset.pipeline
    return [{k: v for k, v in step.items() if k not in given} for step in steps]


def _starting_weights(cfg: Config) -> list[str]:
    given = [d for d in _dicts(cfg.model) if 'Pretrained' in str(d.get('type'))]
    files = (cfg.get('load_from'), *(d['checkpoint'] for d in given))
    return sorted(filter(None, files))


Parts = Mapping[str, Callable[[Config], Any]]
# Where configs differ in one of these, a comparison would mean nothing.
BUDGET: Parts = {
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
# Where a config has its own, that is noted beside its figures.
MANNER: Parts = {
    'optimizer': lambda cfg: cfg.optim_wrapper,
    'schedule': lambda cfg: cfg.param_scheduler,
    'augmentation': _augmentation,
    'targets': lambda cfg: cfg.model.head.decoder,
    'loss': lambda cfg: cfg.model.head.get('loss'),
    'hooks': lambda cfg: [hook.type for hook in cfg.get('custom_hooks', ())],
}


def departures(
    configs: Mapping[str, Config], parts: Parts
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What most configs share, by part, and by name what a config has of its own."""
    shared: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {name: {} for name in configs}
    for part, read in parts.items():
        found = {
            name: json.dumps(plain(read(cfg)), sort_keys=True, default=str)
            for name, cfg in configs.items()
        }
        ((usual, _),) = Counter(found.values()).most_common(1)
        shared[part] = json.loads(usual)
        for name, value in found.items():
            if value != usual:
                own[name][part] = json.loads(value)
    return shared, own


def check_budgets(configs: Mapping[str, Config]) -> None:
    """Refuse configs that do not share a budget.

    Raises:
        ValueError: If one differs (the message names every difference).
    """
    shared, own = departures(configs, BUDGET)
    found = [
        f'{name} departs in {part}: {value!r}, where the others have {shared[part]!r}'
        for name, parts in own.items()
        for part, value in parts.items()
    ]
    if found:
        raise ValueError('\n'.join(['no comparison of unequal budgets:', *found]))


# --- What is trained ------------------------------------------------------------------


def prepare(
    cfg: Config, data_root: str | None = None, epochs: int | None = None
) -> Config:
    """A config that trains on the given data for the given time and can be resumed.

    Args:
        cfg: Config of a training.
        data_root: Folder in place of the config's own.
        epochs: Epochs in place of the config's own; schedules, warm-up included, and
            the interval of validations follow in proportion.

    Raises:
        ValueError: If it does not train by epochs, or has no folder to replace.
    """
    own = cfg.train_cfg.get('max_epochs')
    if own is None:
        raise ValueError(f'train_cfg must have max_epochs, got {plain(cfg.train_cfg)}')
    if data_root:
        former = cfg.train_dataloader.dataset.get('data_root')
        if not former:
            raise ValueError('the training data have no data_root to replace')
        # As text, because evaluators and detections name files below it, too.
        text = cfg.pretty_text.replace(f"'{former}", f"'{data_root.rstrip('/')}/")
        cfg = Config.fromstring(text, '.py')
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
    """Configs by name, written as they are trained.

    Raises:
        ValueError: If they do not share a budget, or the folder holds another recipe.
    """
    configs: dict[str, Config] = {}
    for path in args.configs:
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(args.cfg_options)
        if path.stem in configs:
            raise ValueError(f'two configs are named {path.stem}')
        configs[path.stem] = prepare(cfg, args.data_root, args.epochs)
    check_budgets(configs)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, cfg in configs.items():
        path, text = args.out / f'{name}.py', cfg.pretty_text
        if path.exists() and path.read_text() != text:
            raise ValueError(
                f'{path} is another recipe than the one asked for now; choose another '
                '--out, or remove this file and the runs beside it'
            )
        write_atomically(path, text.encode())
    return configs


def describe_images(cfg: Config) -> str:
    """Names and sizes of the annotations to train on and to test on."""
    parts = []
    for dataset in (cfg.train_dataloader.dataset, cfg.test_dataloader.dataset):
        path = ROOT / (dataset.get('data_root') or '') / dataset.ann_file
        parts.append(f'{path.stem} ({len(json.loads(path.read_text())["images"])})')
    return ' / '.join(parts)


# --- Report ---------------------------------------------------------------------------


def row_of(name: str, cfg: Config, args: argparse.Namespace) -> dict[str, Any]:
    """What the finished runs of a config gave, and what the network costs."""
    folders = {seed: args.out / f'{name}-{seed}' for seed in args.seeds}
    done = {s: f for s, f in folders.items() if (f / 'result.json').exists()}
    row: dict[str, Any] = dict(config=name, seeds=[*done], metrics={}, seconds=[])
    for folder in done.values():
        found = json.loads((folder / 'result.json').read_text())
        row['steps'] = found['steps']
        for metric in args.metrics:
            if metric in found:
                row['metrics'].setdefault(metric, []).append(found[metric])
        # A median, so that a pause does not count.
        steps = [one for one in read_scalars(folder) if 'loss' in one]
        row['seconds'].append(median(one['time'] for one in steps))
    if done:
        width, height = cfg.model.head.decoder.input_size
        cost = complexity(MODELS.build(cfg.model), (height, width))
        row.update(params=cost.params, macs=cost.macs)
    return row


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
    cells, failed = [], []
    for row in rows:
        own = [f'{part}: `{call(value)}`' for part, value in row['own'].items()]
        marks = ''.join(f' [{notes.setdefault(n, len(notes) + 1)}]' for n in own)
        seconds, steps = row['seconds'], row.get('steps')
        state = 'failed' if row['failed'] else 'not yet'
        failed += [f'- {row["config"]}, {text}' for text in row['failed']]
        cells.append(
            [
                row['config'] + marks,
                f'{row["params"] / 1e6:.3f} M' if seconds else '–',
                f'{row["macs"] / 1e6:.1f} M' if seconds else '–',
                str(steps or '–'),
                ' '.join(map(str, row['seeds'])) or state,
                *(figure(row['metrics'].get(metric, [])) for metric in metrics),
                figure(seconds, 2),
                figure([steps * value / 60 for value in seconds], 1),
            ]
        )
    header = ['config', 'params', 'MACs', 'steps', 'seeds', *metrics]
    parts = (
        '\n'.join(f'- {part}: `{call(value)}`' for part, value in shared.items()),
        markdown_table([*header, 's/step', 'minutes'], cells),
        '\n'.join(f'- [{number}] {note}' for note, number in notes.items()),
        '\n'.join(['Failed:', '', *failed]) if failed else '',
    )
    return '\n\n'.join(filter(None, parts)) + '\n'


def draw_curves(
    rows: Sequence[Mapping[str, Any]], configs: Mapping[str, Config], out: Path
) -> bytes:
    """First metric and loss of all finished runs against steps, as a PNG."""
    from matplotlib.figure import Figure

    metric = next(iter(rows[0]['metrics']))
    drawn = Figure((9.5, 4.6), dpi=150, layout='constrained')
    left, right = drawn.subplots(1, 2)
    for number, row in enumerate(rows):
        head = configs[row['config']].model.head
        weight = (head.get('loss') or {}).get('loss_weight', 1.0)
        style = dict(color=f'C{number % 10}', ls=('-', '--', ':')[number // 10 % 3])
        for seed in row['seeds']:
            folder = out / f'{row["config"]}-{seed}'
            found = json.loads((folder / 'result.json').read_text())
            # By step, because a resumed training logs some again.
            records = read_scalars(folder)
            losses = {one['step']: one['loss'] for one in records if 'loss' in one}
            tests = {one['step']: one[metric] for one in records if metric in one}
            steps = [epoch * found['steps'] / found['epochs'] for epoch in tests]
            label = row['config'] if seed == row['seeds'][0] else None
            left.plot(steps, [*tests.values()], 'o', ms=3.5, label=label, **style)
            right.plot([*losses], [loss / weight for loss in losses.values()], **style)
    left.set(xlabel='training steps', ylabel=f'{metric} of the held-out images')
    right.set(xlabel='training steps', ylabel='training loss, without its weight')
    left.set_ylim(bottom=0)
    right.set_yscale('log')
    drawn.legend(loc='outside lower center', ncols=2, fontsize=8, frameon=False)
    drawn.savefig(file := io.BytesIO(), format='png')
    return file.getvalue()


def write_report(
    args: argparse.Namespace,
    configs: Mapping[str, Config],
    failed: Mapping[str, Sequence[str]],
) -> str:
    """Table, JSON and picture of what there is; returns the table."""
    budget, _ = departures(configs, BUDGET)
    manner, own = departures(configs, MANNER)
    images = describe_images(next(iter(configs.values())))
    shared = dict(images=images) | budget | manner
    rows = [
        row_of(name, cfg, args) | dict(own=own[name], failed=failed.get(name, []))
        for name, cfg in configs.items()
    ]
    text = markdown(rows, args.metrics, shared)
    write_atomically(args.out / 'results.md', text.encode())
    for page in args.update:
        filled = fill_marked(page.read_text(), 'comparison', text)
        write_atomically(page, filled.encode())
    now = datetime.now(timezone.utc).isoformat(timespec='minutes')
    about = dict(date=now, gpus=args.gpus, torch=torch.__version__)
    content = json.dumps(dict(about=about, recipe=shared, rows=rows), indent=1)
    write_atomically(args.out / 'results.json', content.encode())
    if args.curves and (done := [row for row in rows if row['metrics']]):
        write_atomically(args.curves, draw_curves(done, configs, args.out))
    return text


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('configs', type=Path, nargs='+', metavar='CONFIG')
    add('--out', type=Path, required=True, help='folder of the results')
    add('--data-root', help="folder in place of the configs' own")
    add('--epochs', type=int, help="in place of the configs' own; schedules follow")
    add('--seeds', type=int, nargs='+', default=[0])
    add('--metrics', nargs='+', default=['PCK', 'coco/AP'], help='the first is drawn')
    add('--update', nargs='+', type=Path, default=[], help='pages that get the table')
    add('--curves', type=Path, metavar='PNG', help='draw metric and loss (matplotlib)')
    add('--report', action='store_true', help='train nothing: report what is there')
    add('--gpus', type=int, default=0, help='0 for the CPU')
    add('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args()


def main() -> int:
    """Compare; 1 if a run failed."""
    args = parse_args()
    args.out = args.out.resolve()
    exit_when_terminated()
    init_default_scope('mmpose')
    failed: dict[str, list[str]] = {}
    try:
        configs = read_configs(args)
        text = write_report(args, configs, failed)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f'error: {error}')
    runs = [(name, seed) for seed in args.seeds for name in configs]
    missing = [
        (name, seed)
        for name, seed in runs
        if not (args.out / f'{name}-{seed}' / 'result.json').exists()
    ]
    progress = Progress(len(missing))
    for name, seed in [] if args.report else missing:
        progress.say(f'{name}, seed {seed}')
        work_dir = args.out / f'{name}-{seed}'
        try:
            train_and_test(args.out / f'{name}.py', work_dir, seed, gpus=args.gpus)
        except StepFailed as error:
            print(error, file=sys.stderr, flush=True)
            failed.setdefault(name, []).append(f'seed {seed}: {error.log.name}')
        text = write_report(args, configs, failed)
    print(f'\n{text}')
    return int(bool(failed))


if __name__ == '__main__':
    sys.exit(main())
