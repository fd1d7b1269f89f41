"""Trainings of several configs under one recipe, and what came of them."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from benchmarks.engines import cpu_model
from mmengine.config import Config
from mmpose.registry import MODELS

from mmpose_lite.analysis import complexity
from mmpose_lite.io.files import write_atomically

from .curves import Line, draw_curves, read_curve, short_names
from .recipe import BUDGET, MANNER, departures, prepare, refusals
from .report import Row, as_json, markdown, put_into
from .steps import ROOT, Progress, StepFailed, train_and_test


def describe_data(cfg: Config) -> str:
    """Name and size of what is trained on and tested with.

    Raises:
        FileNotFoundError: If an annotation file is missing.
    """
    parts = []
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        dataset = loader.dataset
        path = Path(dataset.get('data_root') or '', dataset.ann_file)
        count = len(json.loads((ROOT / path).read_text())['images'])
        parts.append(f'{path.stem} ({count})')
    return ' / '.join(parts)


class Comparison:
    """The runs, and what is known of them.

    Args:
        args: Command line of ``tools/compare_models.py``.

    Raises:
        ValueError: If the configs do not share a budget.
        FileNotFoundError: If a config or an annotation file is missing.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.configs: dict[str, Config] = {}
        for path in args.configs:
            cfg = Config.fromfile(path)
            cfg.merge_from_dict(args.cfg_options)
            if path.stem in self.configs:
                raise ValueError(f'two configs are named {path.stem}')
            self.configs[path.stem] = prepare(cfg, args.data_root, args.epochs)
        if found := refusals(self.configs):
            raise ValueError('no comparison of unequal budgets:\n' + '\n'.join(found))
        budget, _ = departures(self.configs, BUDGET)
        manner, departs = departures(self.configs, MANNER)
        self.shared = budget | manner
        data = describe_data(next(iter(self.configs.values())))
        self.rows = {
            path.stem: Row(str(path), data, departs=departs[path.stem])
            for path in args.configs
        }
        self.lines: dict[str, Line] = {}

    def write_configs(self) -> None:
        """Write what is trained.

        Raises:
            ValueError: If the folder holds runs of another recipe.
        """
        self.args.out.mkdir(parents=True, exist_ok=True)
        for name, cfg in self.configs.items():
            path, text = self.path(name), cfg.pretty_text
            if path.exists() and path.read_text() != text:
                raise ValueError(
                    f'{path} is another recipe than the one asked for now; choose '
                    'another --out, or remove this file and the runs beside it'
                )
            write_atomically(path, text.encode())

    def path(self, name: str) -> Path:
        """The config of a run."""
        return self.args.out / f'{name}.py'

    def work_dir(self, name: str, seed: int) -> Path:
        """The folder of a run."""
        return self.args.out / f'{name}-{seed}'

    def run(self) -> None:
        """All that is not there yet, a seed after the other."""
        runs = [(name, seed) for seed in self.args.seeds for name in self.configs]
        there = [run for run in runs if (self.work_dir(*run) / 'result.json').exists()]
        for name, seed in there:
            self.collect(name, seed)
        self.write()
        missing = [] if self.args.report else [run for run in runs if run not in there]
        progress = Progress(len(missing))
        for name, seed in missing:
            progress.say(f'{name}, seed {seed}')
            try:
                self.collect(name, seed)
            except StepFailed as failed:
                log = failed.log.relative_to(self.args.out)
                self.rows[name].failures.append(f'seed {seed}: {log}')
                print(f'{failed.tail()}\n{failed}', file=sys.stderr, flush=True)
            self.write()

    def collect(self, name: str, seed: int) -> None:
        """Train and test, unless that was done, and note what came of it."""
        args, row, cfg = self.args, self.rows[name], self.configs[name]
        work_dir = self.work_dir(name, seed)
        found = train_and_test(self.path(name), work_dir, seed, gpus=args.gpus)
        if row.params is None:
            width, height = cfg.model.head.decoder.input_size
            cost = complexity(MODELS.build(cfg.model), (height, width))
            row.params, row.macs = cost.params, cost.macs
        curve = read_curve(work_dir)
        row.steps = int(found['steps'])
        row.seeds.append(seed)
        row.step_seconds.append(curve.step_seconds or 0.0)
        row.logs.append(f'{work_dir.name}.train.log')
        for metric in args.metrics:
            if metric in found:
                row.metrics.setdefault(metric, []).append(found[metric])
        former = self.lines[name].curves if name in self.lines else ()
        loss = cfg.model.head.get('loss') or {}
        self.lines[name] = Line(
            name,
            [*former, curve],
            found['steps'] / found['epochs'],
            loss.get('loss_weight', 1.0),
        )

    def write(self) -> None:
        """Table and picture of what there is."""
        out, args = self.args.out, self.args
        rows = list(self.rows.values())
        about: dict[str, Any] = dict(
            date=datetime.now(timezone.utc).isoformat(timespec='minutes'),
            cpu=cpu_model(),
            gpus=args.gpus,
            torch=torch.__version__,
        )
        text = markdown(rows, args.metrics, self.shared)
        write_atomically(out / 'results.md', text.encode())
        for page in args.update:
            put_into(page, text)
        text = as_json(rows, self.shared, about)
        write_atomically(out / 'results.json', text.encode())
        if self.lines:
            titles = short_names(list(self.configs))
            lines = [
                Line(titles[name], line.curves, line.steps, line.weight)
                for name in self.configs
                if (line := self.lines.get(name))
            ]
            word = 'seed' if len(args.seeds) == 1 else 'seeds'
            heading = f'{rows[0].data}, {word} {", ".join(map(str, args.seeds))}'
            picture = draw_curves(lines, args.metrics[0], heading)
            write_atomically(out / 'curves.png', picture)
