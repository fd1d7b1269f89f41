"""Steps of a comparison: ``mim train`` and ``mim test``, each in its own process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from mmpose_lite.io.files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
REPORT_EVERY = 60.0
"""Seconds between two reports of how far a training is."""
_STEP = re.compile(r'Epoch\(train\)\s+(\[\d+\]\[\s*\d+/\d+\]).*?eta: (.*?)\s{2}')


class StepFailed(Exception):
    """A command that failed.

    Attributes:
        log: What it printed, over all its runs.
    """

    def __init__(self, command: str, log: Path) -> None:
        super().__init__(f'{command} failed; its log is {log}')
        self.log = log

    def tail(self, lines: int = 30) -> str:
        """The end of the log."""
        return '\n'.join(self.log.read_text().splitlines()[-lines:])


class Progress:
    """Announces steps, with the time that the rest will take at this pace.

    Args:
        steps: How many there are.
        untimed: How many at the beginning tell nothing about the pace of the others.
    """

    def __init__(self, steps: int, untimed: int = 0) -> None:
        self.steps, self.untimed, self.done = steps, untimed, 0
        self.began = time.monotonic()

    def say(self, what: str) -> None:
        """Announce the next step."""
        passed, left = time.monotonic() - self.began, ''
        if self.done > self.untimed:
            minutes = passed / self.done * (self.steps - self.done) / 60
            left = f', about {minutes:.0f} min left'
        self.done += 1
        print(f'== {self.done}/{self.steps} {what} ({passed:.0f} s{left})', flush=True)


def exit_when_terminated() -> None:
    """Let a polite kill end the process like an error, so that it stops its steps."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def run(*words: str, log: Path) -> None:
    """Run a command and wait, saying now and then how far its training is.

    Args:
        words: The command.
        log: Gets what it prints, behind what is there.

    Raises:
        StepFailed: If it ends with an error.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    env = {'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore', **os.environ}
    with log.open('a') as file:
        # A session of its own, because mim runs the training in another process yet.
        process = subprocess.Popen(
            words,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=env,
            start_new_session=True,
        )
        try:
            _wait(process, log)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if process.returncode:
        raise StepFailed(f'{Path(words[0]).name} {words[1]}', log)


def _wait(process: subprocess.Popen, log: Path) -> None:
    """Wait for the end of a process."""
    said = ''
    while True:
        try:
            process.wait(REPORT_EVERY)
            return
        except subprocess.TimeoutExpired:
            found = _STEP.findall(log.read_text(errors='replace'))
            if found and found[-1][0] != said:
                said, left = found[-1]
                print(f'   epoch and step {said}, {left} left of it', flush=True)


def mim(
    command: str,
    config: Path | str,
    work_dir: Path,
    *words: str,
    options: Sequence[str] = (),
    gpus: int = 0,
) -> None:
    """``mim train`` or ``mim test``.

    Args:
        command: ``'train'`` or ``'test'``.
        config: Path of the config.
        work_dir: Where logs and weights go; what is printed goes into a file beside it.
        words: Further words of the command line.
        options: Changes to the config, ``key=value``.
        gpus: How many; 0 for the CPU.

    Raises:
        StepFailed: If it ends with an error.
    """
    if options:
        words = (*words, '--cfg-options', *options)
    run(
        str(Path(sys.executable).parent / 'mim'),
        *(command, 'mmpose', str(config), '--gpus', str(gpus)),
        *('--work-dir', str(work_dir), *words),
        log=work_dir.parent / f'{work_dir.name}.{command}.log',
    )


def train_and_test(
    config: Path | str,
    work_dir: Path,
    seed: int,
    options: Sequence[str] = (),
    gpus: int = 0,
) -> dict[str, float]:
    """Train from scratch, or go on after a kill, and test the last weights.

    What was found is kept in ``result.json`` of ``work_dir``; if that is there, nothing
    is done.

    Args:
        config: Path of the config.
        work_dir: Where everything goes.
        seed: Of the training.
        options: Changes to the config, ``key=value``.
        gpus: How many; 0 for the CPU.

    Returns:
        Every metric, and the number of ``epochs`` and of ``steps`` of the training.

    Raises:
        StepFailed: If training or test ends with an error.
    """
    result = work_dir / 'result.json'
    if not result.exists():
        seeded = [*options, f'randomness.seed={seed}']
        mim('train', config, work_dir, '--resume', options=seeded, gpus=gpus)
        checkpoint = (work_dir / 'last_checkpoint').read_text()
        test = work_dir / 'test'
        words = ('--checkpoint', checkpoint)
        mim('test', config, test, *words, options=options, gpus=gpus)
        found = json.loads(max(test.glob('*/*.json')).read_text().splitlines()[-1])
        # Mapped, for nothing but these two numbers is read of it.
        meta = torch.load(checkpoint, map_location='cpu', mmap=True)['meta']
        found.update(epochs=meta['epoch'], steps=meta['iter'])
        write_atomically(result, json.dumps(found).encode())
    return json.loads(result.read_text())
