"""Several processes that train as one, and what each of them does and writes."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import search_run
import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmpose.registry import MODELS
from rows import TINY

from mmpose_lite.models.layers import SelfAttention

NETWORK = search_run.estimator_cfg(
    dict(type='mmpose_lite.LiteHRNet', arch=dict(TINY, unit='ccw')), 8
)
"""A Lite-HRNet for the same people as the small search."""
GLOO = dict(
    launcher='pytorch',
    env_cfg=dict(dist_cfg=dict(backend='gloo')),
    cfg=dict(model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None)),
)


class Rank(NamedTuple):
    """How a process ended.

    Attributes:
        code: Exit code; negative is a signal.
        told: What it wrote to the standard error output.
        seconds: When it ended, after the first one was started.
    """

    code: int
    told: str
    seconds: float


def ranks(
    count: int, work: Callable[[], None], folder: Path, limit: float
) -> list[Rank]:
    """Run the same function in several processes that can find each other.

    Args:
        count: Of processes.
        work: The function.
        folder: Where their output goes.
        limit: Seconds after which they are killed; that fails the test.
    """
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        port = server.getsockname()[1]
    context, began = multiprocessing.get_context('fork'), time.monotonic()
    processes = [
        context.Process(target=_be, args=(rank, count, port, work, folder))
        for rank in range(count)
    ]
    for process in processes:
        process.start()

    def end_of(rank: int) -> Rank:
        processes[rank].join(limit)
        processes[rank].kill()
        processes[rank].join()
        seconds = time.monotonic() - began
        told = (folder / f'rank{rank}.err').read_text()
        return Rank(processes[rank].exitcode, told, seconds)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(end_of, range(count)))


def _be(rank: int, count: int, port: int, work: Callable[[], None], folder: Path):
    """Be one of the processes."""
    os.chdir(folder)  # where mmengine collects results
    sys.stderr = open(folder / f'rank{rank}.err', 'w', buffering=1)  # noqa: SIM115
    os.dup2(sys.stderr.fileno(), 2)
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count),
        MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port),
        OMP_NUM_THREADS='1', MKL_NUM_THREADS='1',
    )  # fmt: skip
    journal = os.open(folder / f'rank{rank}.files', os.O_WRONLY | os.O_CREAT)
    sys.addaudithook(lambda event, args: _note(journal, event, args))
    torch.manual_seed(0)
    work()


def _note(journal: int, event: str, args: tuple) -> None:
    if event == 'open' and str(args[1] or 'r')[0] in 'wax':
        os.write(journal, f'{args[0]}\n'.encode())
    elif event == 'os.rename':
        os.write(journal, f'{args[1]}\n'.encode())


def files_of(folder: Path, count: int, below: Path) -> list[set[str]]:
    """Files below a folder that each process has written."""
    found = []
    for rank in range(count):
        lines = (folder / f'rank{rank}.files').read_text().splitlines()
        found.append({line for line in lines if line.startswith(f'{below}/')})
    return found


class SteadyPeople(search_run.NoisyPeople):
    """The same images whoever asks, and when."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        with torch.random.fork_rng():
            torch.manual_seed(index)
            former = np.random.get_state()
            np.random.seed(index)
            try:
                return super().__getitem__(index % 8)
            finally:
                np.random.set_state(former)


class Record(Hook):
    """Writes every step's loss, and a digest of all parameters, per process."""

    priority = 'LOWEST'

    def __init__(self, folder: Path, die: tuple[int, str, int] | None = None) -> None:
        self.path = folder / f'rank{os.environ.get("RANK", "0")}.json'
        self.steps: list[dict] = []
        self.scores: list[float] = []
        self.die = die

    def _maybe_die(self, where: str, step: int) -> None:
        if self.die == (int(os.environ.get('RANK', '0')), where, step):
            os.kill(os.getpid(), signal.SIGKILL)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        digest = hashlib.sha256()
        for parameter in model.parameters():
            digest.update(parameter.detach().numpy().tobytes())
        arch = model.describe()['blocks'] if hasattr(model, 'describe') else None
        self.steps.append(
            dict(loss=outputs['loss'].item(), digest=digest.hexdigest(), arch=arch)
        )
        self._maybe_die('training', runner.iter)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._maybe_die('validation', batch_idx)

    def after_val_epoch(self, runner, metrics=None):
        self.scores.append(metrics['score'])

    def after_train(self, runner):
        text = json.dumps(dict(steps=self.steps, scores=self.scores))
        self.path.write_text(text)


def recorded(folder: Path, count: int) -> list[dict]:
    """What each process recorded."""
    return [json.loads((folder / f'rank{r}.json').read_text()) for r in range(count)]


def run(
    folder: Path, kind: str, count: int, frozen: bool = False, die=None, batch: int = 6
) -> None:
    """Train or search in this process, as one of ``count``.

    Args:
        folder: For results.
        kind: ``'training'`` or ``'search'``.
        count: Of processes; 1 needs no others.
        frozen: Frozen norms and nothing random.
        die: Which rank kills itself, where, and at which step.
        batch: Of all processes together.
    """
    people = SteadyPeople() if frozen else search_run.NoisyPeople()
    loaders = {
        f'{name}_dataloader': dict(
            search_run.people(name == 'train'),
            dataset=people,
            batch_size=batch // count,
        )
        for name in ('train', 'val')
    }
    options = {} if count == 1 else {**GLOO}
    search_run.init_default_scope('mmpose')
    torch.manual_seed(3)
    if kind == 'training':
        options['model'] = MODELS.build(NETWORK)
        options['model'].init_weights()
        options['custom_hooks'] = [
            dict(type='SyncBuffersHook'),
            dict(type='mmpose_lite.EpochSeedHook'),
            dict(type='EMAHook', ema_type='ExpMomentumEMA', update_buffers=True),
            Record(folder, die),
        ]
    runner = search_run.runner(
        folder / 'work',
        log_level='ERROR',
        hooks=[dict(type='SyncBuffersHook'), Record(folder, die)],
        **loaders,
        **options,
    )
    if frozen:
        for module in runner.model.modules():
            if hasattr(module, 'norm_eval'):
                module.norm_eval = True
            if isinstance(module, torch.nn.Dropout):
                module.p = 0
            if isinstance(module, SelfAttention):
                module.dropout = 0
    runner.train()
