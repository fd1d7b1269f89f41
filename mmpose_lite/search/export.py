"""A finished search as files of its own: config, weights, architecture."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ..io.files import part_name, write_atomically
from .config_text import without_scope
from .result import SearchResult
from .retraining import (
    FOLDER,
    format_config,
    retraining_config,
)

SHORT = 24
"""An architecture of more blocks has a file of its own."""
ARCH_FILE = 'arch.json'


@dataclass(frozen=True)
class Export:
    """Files of an export.

    Attributes:
        config: The config.
        weights: Weights that it loads.
        arch: The architecture, for pictures and other tools.
    """

    config: Path
    weights: Path
    arch: Path


@contextmanager
def exported(
    result: SearchResult, out_dir: str | os.PathLike[str], name: str, header: list[str]
) -> Iterator[Export]:
    """Write an export; it stays only if the block ends without an error.

    While the block runs the files lie in another folder, beside ``out_dir`` or beside
    what of its path is there already, which takes its name in one step at the end.

    Args:
        result: What to export.
        out_dir: A folder that is empty or does not exist yet.
        name: Config and weights become ``NAME.py`` and ``NAME.pth``.
        header: Comment at the config's head.

    Yields:
        The files, to be tried.

    Raises:
        ValueError: If the folder is not empty or ``name`` is no file name; the config
            does not fit the weights.
        OSError: If the folder cannot be written.
    """
    out = Path(os.path.realpath(out_dir))
    if not re.fullmatch(r'[\w][\w.+-]*', name):
        raise ValueError(f'name must be a file name without suffix, got {name!r}')
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f'out_dir must be new or an empty folder, got {out}')
    arch = result.describe()
    backbone: dict[str, Any] = dict(arch=f'{FOLDER}/{ARCH_FILE}')
    if len(result.arch) <= SHORT:
        backbone = dict(space=asdict(result.space), arch=arch['blocks'])
    config = retraining_config(result.config, backbone)
    near = next(folder for folder in out.parents if folder.is_dir())
    part = Path(part_name(near / out.name))
    files = Export(part / f'{name}.py', part / f'{name}.pth', part / ARCH_FILE)
    try:
        part.mkdir()
        write_atomically(files.config, format_config(config, header).encode())
        write_atomically(files.weights, _weights(result))
        write_atomically(files.arch, format_arch(arch).encode())
        _arrives(files.config, config)
        yield files
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists():
            out.rmdir()
        os.replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _weights(result: SearchResult) -> bytes:
    """A checkpoint with nothing but weights, and where they come from."""
    notes = ('epoch', 'iter', 'seed', 'time', 'dataset_meta')
    meta = {key: result.meta[key] for key in notes if key in result.meta}
    meta.update(hrnas_arch=result.describe(), exported_from=result.search_name)
    # Clones: what was cut from a larger tensor would bring all of it along.
    weights = {key: value.clone() for key, value in result.weights.items()}
    data = io.BytesIO()
    torch.save({'state_dict': weights, 'meta': meta}, data)
    return data.getvalue()


def format_arch(arch: Mapping[str, Any]) -> str:
    """JSON of an architecture with a line for each block and each field."""

    def lines(left: str, items: list[str], right: str, indent: str) -> str:
        inner = f',\n{indent}  '.join(items)
        return f'{left}\n{indent}  {inner}\n{indent}{right}'

    fields = []
    for key, value in arch.items():
        if key == 'space':
            rows = [f'"{k}": {json.dumps(v)}' for k, v in value.items()]
            text = lines('{', rows, '}', '  ')
        elif key == 'blocks':
            text = lines('[', [json.dumps(block) for block in value], ']', '  ')
        else:
            text = json.dumps(value)
        fields.append(f'"{key}": {text}')
    return lines('{', fields, '}', '') + '\n'


def _arrives(path: Path, config: Mapping[str, Any]) -> None:
    """Read a written config back; what it shall say must arrive."""
    read = without_scope(Config.fromfile(path).to_dict(), config['default_scope'])
    backbone = read['model']['backbone']
    if isinstance(backbone['arch'], str):
        backbone['arch'] = backbone['arch'].replace(path.parent.as_posix(), FOLDER)
    for name, value in config.items():
        if read.get(name) != value:
            raise ValueError(
                f'{name} of the search cannot be written as a config: {value!r} '
                f'becomes {read.get(name)!r}'
            )
