"""The command line as users type it, and what it leaves in its work directory."""

from __future__ import annotations

import io
import os
import runpy
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import mmpose
from conftest import ROOT
from mmengine.visualization import Visualizer
from mmpose.visualization import PoseLocalVisualizer

from mmpose_lite.cli import main

TWO = ('--launcher', 'pytorch', '--gpus', '2')
GLOO = dict(
    env_cfg__dist_cfg__backend='gloo',
    model_wrapper_cfg__type='MMDistributedDataParallel',
    model_wrapper_cfg__device_ids='None',
)
"""What the README tells owners of a machine without a GPU to add."""


class Ended(NamedTuple):
    """How a program ended."""

    code: int
    out: str
    err: str


def _run(path: Path, *words: object) -> Ended:
    """Run a program in this process, which imports MMPose only once."""
    code, out, err = None, io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, 'argv', [str(path), *map(str, words)]),
        mock.patch.object(sys, 'path', [str(path.parent), *sys.path]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            runpy.run_path(str(path), run_name='__main__')
        except SystemExit as end:
            code = end.code
    if isinstance(code, str):
        return Ended(1, out.getvalue(), err.getvalue() + code)
    return Ended(code or 0, out.getvalue(), err.getvalue())


def python(*words: object, cwd: Path = ROOT, **variables: str):
    """Run Python in a fresh process that finds the package, not this one's state."""
    return subprocess.run(
        [sys.executable, '-W', 'ignore', *map(str, words)],
        cwd=cwd,
        env={
            **os.environ,
            'PYTHONPATH': str(ROOT),
            'OMP_NUM_THREADS': '1',
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def program(name: str, *words: object) -> Ended:
    """Run a program of ``tools/``, named without its suffix, in this process."""
    return _run(ROOT / 'tools' / f'{name}.py', *words)


def run_tool(name: str, *words: object) -> str:
    """What a program prints that must end well; see :func:`program`."""
    ended = program(name, *words)
    if ended.code:
        raise RuntimeError(f'{name} ended with {ended.code}: {ended.err}')
    return ended.out


def mmpose_script(
    command: str, config: Path | str, work_dir: Path, *args: str, **options
) -> str:
    """Run the script that :func:`mim` starts in this process; the same arguments."""
    path = Path(mmpose.__file__).parent / '.mim' / 'tools' / f'{command}.py'
    args = [word for word in args if word != '--checkpoint']
    # It would write to the files of the run before.
    Visualizer._instance_dict.clear()
    PoseLocalVisualizer._instance_dict.clear()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return _run(
            path, config, *args, '--work-dir', work_dir, *cfg_options(options)
        ).out


def run_verb(verb: str, *words: object) -> Ended:
    """Run a verb of ``mmpose-lite`` in this process, which imports MMPose only once.

    Args:
        verb: The verb.
        *words: Its arguments.
    """
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([verb, *map(str, words)])
        except SystemExit as end:
            code = int(end.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())


def mim(command: str, config: Path | str, work_dir: Path, *args: str, **options) -> str:
    """Run ``mim train|test mmpose CONFIG`` on the CPU; returns what it printed.

    Args:
        command: ``'train'`` or ``'test'``.
        config: Path of the config.
        work_dir: Where logs and checkpoints go.
        *args: Further arguments before ``--cfg-options``.
        **options: Config options, dots written as double underscores.
    """
    run = start_mim(command, config, work_dir, *args, **options)
    out, _ = run.communicate()
    own = out.partition('Traceback (most recent call last)')
    assert run.returncode == 0, own[1] + own[2][:5000]
    return out


def start_mim(
    command: str,
    config: Path | str,
    work_dir: Path,
    *args: str,
    out=subprocess.PIPE,
    **options,
) -> subprocess.Popen[str]:
    """Start what :func:`mim` runs, in a session of its own; ``out`` gets its prints."""
    words = [
        *(str(Path(sys.executable).parent / 'mim'), command, 'mmpose', str(config)),
        *('--work-dir', str(work_dir)),
        *(args if '--gpus' in args else ('--gpus', '0', *args)),
        *cfg_options(options),
    ]
    return subprocess.Popen(
        words,
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore'},
        stdout=out,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def cfg_options(options: dict[str, object]) -> list[str]:
    """Words that change a config; dots are written as double underscores."""
    words = [f'{k.replace("__", ".")}={v}' for k, v in options.items()]
    return ['--cfg-options', *words] if words else []


def dataset_options(folder: str, root: Path, **values) -> dict[str, str]:
    """Options that point the loaders named in ``folder`` at another data root."""
    return {
        f'{folder}_dataloader__dataset__data_root': f'{root}/',
        f'{folder}_dataloader__num_workers': '0',
        f'{folder}_dataloader__persistent_workers': 'False',
        **{f'{folder}_dataloader__dataset__{k}': v for k, v in values.items()},
    }
