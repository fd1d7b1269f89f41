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


def same_states(one: Path, other: Path) -> None:
    """Two checkpoints hold bitwise the same."""
    first, second = torch.load(one), torch.load(other)
    for key in STATE:
        assert_same(first.get(key), second.get(key), f'{one.name}[{key!r}]')


def same_bytes(one: Path, other: Path) -> None:
    """Two files are the same."""
    assert one.read_bytes() == other.read_bytes(), one.name


def same_archs(one: Path, other: Path) -> None:
    """Two descriptions are the same."""
    assert json.loads(one.read_text()) == json.loads(other.read_text())


def loads(path: Path) -> None:
    """A checkpoint is whole."""
    torch.load(path)


def runs_or_is_refused(path: Path) -> None:
    """An exported model works, or is refused because its contract is not there."""
    onnx.checker.check_model(onnx.load(path))
    try:
        PoseRuntime(path)
    except (FileNotFoundError, ValueError) as error:
        # Only on the way: the contract comes last.
        assert path.name.rpartition('.')[0] in str(error)  # noqa: PT017


def reads_as_json(path: Path) -> None:
    """A json file is whole."""
    json.loads(path.read_text())


def is_an_image(path: Path) -> None:
    """A JPEG file is whole: it ends as one."""
    assert path.read_bytes()[-2:] == b'\xff\xd9', path


@dataclass(frozen=True)
class Job:
    """Long work.

    Attributes:
        run: Does it in a folder, or goes on with it.
        whole: Pattern of files → what holds of each of them at any time.
        same: Pattern of files → how they are compared with those of an undisturbed run.
        written: What its files have in their paths; see ``killing.is_moment``.
        prepare: Called once; writes what it needs into a folder.
    """

    run: Callable[[Path], None]
    whole: dict[str, Callable[[Path], None]]
    same: dict[str, Callable[[Path, Path], None]]
    written: tuple[str, ...] = CHECKPOINTS
    prepare: Callable[[Path], Any] = field(default=lambda folder: None)

    def check(self, folder: Path) -> None:
        """Whatever bears a final name is whole."""
        for pattern, holds in self.whole.items():
            for path in folder.rglob(pattern):
                if not path.name.startswith('.'):
                    holds(path)

    def compare(self, folder: Path, undisturbed: Path) -> None:
        """All results are there, nothing else, and the same."""
        assert not [path.name for path in folder.rglob('.*.part')]
        for pattern, compared in self.same.items():
            names = [
                sorted(p.relative_to(root) for p in root.rglob(pattern))
                for root in (folder, undisturbed)
            ]
            assert names[0] == names[1]
            assert names[1], pattern
            for name in names[1]:
                compared(folder / name, undisturbed / name)


def _train(folder: Path) -> None:
    small_run.runner(folder, resume=True).train()


def _search(folder: Path) -> None:
    search_run.search(folder)


def _toys(folder: Path) -> None:
    generate_toy_coco(folder, 6, 2, image_size=(96, 64), seed=4)


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


CHECKPOINT = {'*.pth': loads}
JOBS = {
    'training': Job(_train, CHECKPOINT, {'*.pth': same_states}),
    'search': Job(
        _search,
        {**CHECKPOINT, 'arch_*.json': reads_as_json},
        {'*.pth': same_states, 'arch_*.json': same_archs},
    ),
    'export': Job(
        _export,
        {'*.onnx': runs_or_is_refused, '*.json': reads_as_json},
        {'*.onnx': same_bytes},
        ('model.onnx', 'model.json'),
        write_estimator,
    ),
    'conversion': Job(
        _convert, CHECKPOINT, {'*.pth': same_states}, ('converted',), write_estimator
    ),
    'toy data': Job(
        _toys,
        {'*.jpg': is_an_image, '*.json': reads_as_json},
        {'*.jpg': same_bytes, '*.json': same_bytes},
        ('.jpg', '.json'),
    ),
    'benchmark': Job(_benchmark, {'*.json': reads_as_json}, {}, ('out/',)),
}
