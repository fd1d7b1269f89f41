"""Trainings and tests through ``mim``, each in its own process, resumed if killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from mmpose_lite.io.files import write_atomically
from mmpose_lite.io.logs import read_scalars

ROOT = Path(__file__).resolve().parents[1]
MIM = str(Path(sys.executable).parent / 'mim')


class StepFailed(Exception):
    """A command that failed; its message ends with the path of its log."""

    def __init__(self, command: str, log: Path) -> None:
        tail = '\n'.join(log.read_text(errors='replace').splitlines()[-30:])
        super().__init__(f'{tail}\n{command} failed; its log is {log}')
        self.log = log


class Progress:
    """Announces steps, with the time that the rest will take at this pace."""

    def __init__(self, steps: int) -> None:
        self.steps, self.done, self.began = steps, 0, time.monotonic()

    def say(self, what: str) -> None:
        """Announce the next step."""
        passed, left = time.monotonic() - self.began, ''
        if self.done:
            minutes = passed / self.done * (self.steps - self.done) / 60
            left = f', about {minutes:.0f} min left'
        self.done += 1
        print(f'== {self.done}/{self.steps} {what} ({passed:.0f} s{left})', flush=True)


def exit_when_terminated() -> None:
    """Let SIGTERM end the process like an error, so that it stops its commands."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def run(*words: str, log: Path) -> None:
    """Run a command in the project's folder, and append what it prints to ``log``.

    Raises:
        StepFailed: If it ends with an error.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    env = {'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore', **os.environ}
    with log.open('a') as file:
        # A process group, because mim trains in a process that it starts.
        process = subprocess.Popen(
            words, stdout=file, stderr=file, cwd=ROOT, env=env, start_new_session=True
        )
        try:
            process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if process.returncode:
        raise StepFailed(f'{Path(words[0]).name} {words[1]}', log)


def mim(
    command: str,
    config: Path | str,
    work_dir: Path,
    *words: str,
    options: Sequence[str] = (),
    gpus: int = 0,
) -> None:
    """``mim train`` or ``mim test``; the log lies beside the work dir.

    Args:
        command: ``'train'`` or ``'test'``.
        config: Path of the config.
        work_dir: Where MMEngine's logs and weights go.
        words: Further words of the command line.
        options: Changes to the config, ``key=value``.
        gpus: How many; 0 for the CPU.

    Raises:
        StepFailed: If it ends with an error.
    """
    run(
        *(MIM, command, 'mmpose', str(config), '--gpus', str(gpus)),
        *('--work-dir', str(work_dir), *words),
        *(('--cfg-options', *options) if options else ()),
        log=work_dir.parent / f'{work_dir.name}.{command}.log',
    )


def train_and_test(
    config: Path | str,
    work_dir: Path,
    seed: int,
    options: Sequence[str] = (),
    gpus: int = 0,
) -> dict[str, float]:
    """Train from scratch, or resume, and test the last weights.

    The result is kept as ``result.json`` in the work dir; if that exists, nothing runs.
    For the other arguments see :func:`mim`.

    Args:
        config: Path of the config.
        work_dir: Where everything goes.
        seed: Of the training.
        options: Changes to the config.
        gpus: How many.

    Returns:
        Every metric, and the number of ``epochs`` and ``steps`` of the training.

    Raises:
        StepFailed: If training or test ends with an error.
    """
    result = work_dir / 'result.json'
    if not result.exists():
        seeded = [*options, f'randomness.seed={seed}']
        mim('train', config, work_dir, '--resume', options=seeded, gpus=gpus)
        weights = (work_dir / 'last_checkpoint').read_text()
        test = work_dir / 'test'
        mim('test', config, test, '--checkpoint', weights, options=options, gpus=gpus)
        # Mapped, because only these two numbers are read.
        meta = torch.load(weights, map_location='cpu', mmap=True)['meta']
        found = read_scalars(test)[-1] | dict(epochs=meta['epoch'], steps=meta['iter'])
        write_atomically(result, json.dumps(found).encode())
    return json.loads(result.read_text())
