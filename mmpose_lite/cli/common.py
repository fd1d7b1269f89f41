"""What several verbs share: options of a model, progress, silence."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def at_least(least: int, most: int | None = None) -> Callable[[str], int]:
    """Type of an option: a whole number from ``least`` on, up to ``most``."""
    wanted = f'at least {least}' if most is None else f'from {least} to {most}'

    def number(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f'must be {wanted}, got {value}')
        return value

    return number


positive = at_least(1)
pixels = at_least(16, 4096)
"""A side of a network's input."""
threads = at_least(1, max(64, 2 * (os.cpu_count() or 1)))
"""More of them than processors wait for each other, many more for ever."""


def score(text: str) -> float:
    """Type of an option: a score from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:  # what is not a number is refused, too
        raise argparse.ArgumentTypeError(f'must be from 0 to 1, got {text}')
    return value


def device(text: str) -> str:
    """Type of an option: a device that is here."""
    if text == 'cpu':
        return text
    import torch

    try:
        kind = torch.device(text)
        torch.empty(1, device=kind)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition('\n')[0]
        raise argparse.ArgumentTypeError(f'is not to be used: {reason}') from None
    return text


def check_output(
    name: str, path: str, inputs: Iterable[str | os.PathLike[str] | None]
) -> None:
    """Raise ValueError if an output file is a folder, or one of the inputs."""
    target = Path(path)
    if target.is_dir():
        raise ValueError(f'{name} must be a file, got the folder {path}')
    if target.resolve() in {Path(one).resolve() for one in inputs if one is not None}:
        raise ValueError(f'{name} must not be a file that is read, got {path}')


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``."""
    parser.add_argument(
        '--device', type=device, help='cpu, cuda:0, …; a GPU if there is one'
    )


def quiet() -> None:
    """Let MMEngine log errors only: loading says more than anyone needs."""
    from mmengine.logging import MMLogger

    MMLogger.get_instance('mmpose_lite').setLevel(logging.ERROR)


@contextmanager
def bars(unit: str = '', *, thread: bool = True) -> Iterator[Callable[..., None]]:
    """Bars of steps: how many are done, how many a second, and the time left.

    Args:
        unit: Of which there are so many a second, such as ``'images'``.
        thread: Whether a thread may draw; not where processes are forked meanwhile.

    Yields:
        A function of a step's title (the first word says which bar), of how many are
        done and how many there are (None if that is unknown); further of the seconds
        left and how many are done a second, if that is known better than the bar
        measures, and of a line to print above the bars.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = [
        TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
        TextColumn('{task.fields[pace]}'), *([TimeLeft()] if unit else []),
    ]  # fmt: skip
    tasks: dict = {}
    with Progress(*columns, auto_refresh=thread) as bar:

        def show(
            title: str,
            done: int,
            total: int | None,
            left: float | None = None,
            *,
            rate: float | None = None,
            line: str = '',
        ) -> None:
            key = (title.partition(' ')[0], total)
            if key not in tasks:
                tasks[key] = bar.add_task(title, total=total, pace='')
            rate = bar.tasks[tasks[key]].speed if rate is None else rate
            pace = f'{rate or 0:.1f} {unit}/s' if unit else ''
            if left is not None:
                pace = f'{left:.0f} s left'
            bar.update(
                tasks[key], description=title, completed=done, pace=pace,
                refresh=not thread,
            )  # fmt: skip
            if line:
                bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield show
