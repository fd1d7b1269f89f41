"""Long work of every kind, small: what it is, and what must hold after a kill."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import search_run
import small_run
import torch
from command_line import run_tool, run_verb
from deploy_cases import Files, export_small, write_estimator
from killing import CHECKPOINTS, STATE, assert_same

from mmpose_lite.data import generate_toy_coco
from mmpose_lite.deploy import PoseRuntime


def state(path: Path) -> dict[str, Any]:
    """What a run goes on from."""
    checkpoint = torch.load(path)
    return {key: checkpoint.get(key) for key in STATE}


def content(path: Path) -> Any:
    """Of a json file."""
    return json.loads(path.read_text())


def runs_or_is_refused(path: Path) -> None:
    """An exported model works, or is refused because its contract is not there."""
    onnx.checker.check_model(onnx.load(path))
    try:
        PoseRuntime(path)
    except (FileNotFoundError, ValueError) as error:
        # Only on the way: the contract comes last.
        assert path.name.rpartition('.')[0] in str(error)  # noqa: PT017


def is_an_image(path: Path) -> None:
    """A JPEG file is whole: it ends as one."""
    assert path.read_bytes()[-2:] == b'\xff\xd9', path


@dataclass(frozen=True)
class Job:
    """Long work.

    Attributes:
        run: Does it in a folder, or goes on with it.
        whole: Pattern of files → what reads each of them at any time.
        same: Pattern of files → what of them is as after an undisturbed run.
        written: What its files have in their paths; see ``killing.is_moment``.
        prepare: Called once; writes what it needs into a folder.
    """

    run: Callable[[Path], None]
    whole: dict[str, Callable[[Path], Any]]
    same: dict[str, Callable[[Path], Any]]
    written: tuple[str, ...] = CHECKPOINTS
    prepare: Callable[[Path], Any] = field(default=lambda folder: None)

    def check(self, folder: Path) -> None:
        """Whatever bears a final name is whole."""
        for pattern, read in self.whole.items():
            for path in folder.rglob(pattern):
                if not path.name.startswith('.'):
                    read(path)

    def compare(self, folder: Path, undisturbed: Path) -> None:
        """All results are there, nothing else, and the same."""
        assert not [path.name for path in folder.rglob('.*.part')]
        for pattern, read in self.same.items():
            one, other = (
                {path.relative_to(root): read(path) for path in root.rglob(pattern)}
                for root in (folder, undisturbed)
            )
            assert other, pattern
            assert_same(one, other, pattern)


def _given(folder: Path) -> Files:
    """The config and checkpoint that lie beside a job's folder."""
    given = folder.parent / 'given'
    return Files(given / 'small.py', given / 'small.pth')


def _export(folder: Path) -> None:
    export_small(_given(folder), folder / 'model.onnx')


def _convert(folder: Path) -> None:
    given = _given(folder)
    words = ('--config', given.config)
    run_verb('convert', given.checkpoint, folder / 'converted.pth', *words)


def _benchmark(folder: Path) -> None:
    words = '--engines onnxruntime --rounds 3 --input-size 64 64'
    run_tool('benchmark', 'litehrnet-18', *words.split(), '--out', folder / 'out')


JOBS = {
    'training': Job(
        lambda folder: small_run.runner(folder, resume=True).train(),
        {'*.pth': state},
        {'*.pth': state},
    ),
    'search': Job(
        search_run.search,
        {'*.pth': state, 'arch_*.json': content},
        {'*.pth': state, 'arch_*.json': content},
    ),
    'export': Job(
        _export,
        {'*.onnx': runs_or_is_refused, '*.json': content},
        {'*.onnx': Path.read_bytes},
        ('model.onnx', 'model.json'),
        write_estimator,
    ),
    'conversion': Job(
        _convert, {'*.pth': state}, {'*.pth': state}, ('converted',), write_estimator
    ),
    'toy data': Job(
        lambda folder: generate_toy_coco(folder, 6, 2, image_size=(96, 64), seed=4),
        {'*.jpg': is_an_image, '*.json': content},
        {'*.jpg': Path.read_bytes, '*.json': Path.read_bytes},
        ('.jpg', '.json'),
    ),
    'benchmark': Job(_benchmark, {'*.json': content}, {}, ('out/',)),
}
