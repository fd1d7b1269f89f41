"""``mim train`` and ``mim test``, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from .paths import PACKAGE

MIM: tuple[str, ...] = (sys.executable, '-m', 'mim')


class MimError(RuntimeError):
    """A run that failed; the message ends with the path of its ``log``."""

    def __init__(self, verb: str, log: Path) -> None:
        tail = '\n'.join(log.read_text(errors='replace').splitlines()[-30:])
        super().__init__(f'{tail}\nmim {verb} failed; its log is {log}')
        self.log = log


def run_mim(
    verb: str,
    config: str | os.PathLike[str],
    work_dir: Path,
    *words: str,
    options: Iterable[str] = (),
    gpus: int = 0,
    tell: Callable[[str], object] = lambda line: None,
) -> None:
    """Run ``mim train|test mmpose``; its log, ``WORK_DIR.VERB.log``, is added to.

    Args:
        words: Further words of the command line.
        options: Changes to the config, ``'key=value'``.
        gpus: How many; 0 for the CPU.
        tell: Called with every line of the log.

    Raises:
        MimError: If it ends with an error.
    """
    log = work_dir.parent / f'{work_dir.name}.{verb}.log'
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [*MIM, verb, 'mmpose', str(config), '--gpus', str(gpus)]
    command += ['--work-dir', str(work_dir), *words]
    if changes := [*options]:
        command += ['--cfg-options', *changes]
    search = filter(None, (str(PACKAGE.parent), os.environ.get('PYTHONPATH')))
    variables = {'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore', **os.environ}
    variables['PYTHONPATH'] = os.pathsep.join(search)
    with (
        log.open('a', buffering=1) as file,
        subprocess.Popen(
            command,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            # A process group, because mim works in a process that it starts.
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                file.write(line)
                tell(line)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise MimError(verb, log)
