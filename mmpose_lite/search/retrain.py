"""What a search found, as files that are trained: config, weights, architecture."""

from __future__ import annotations

import ast
import copy
import io
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings
from torch import Tensor

from ..analysis import complexity
from ..checkpoints import read_checkpoint
from ..deploy.parity import relative_difference
from ..io.files import part_name, remove_parts, write_atomically
from ..loading import build_model, load_model, load_weights
from ..models.backbones import HRNASNet
from ..models.backbones.hrnas_arch import dump_arch, full_arch
from .archs import extent, format_arch
from .estimator import ARCH_KEY, stored_arch

TOLERANCE = 1e-6
"""Largest relative difference of an output."""
# Entries of a dumped config that belong to the run, not to how it trains.
_OF_THE_RUN = ('work_dir', 'load_from', 'resume', 'launcher')
_CONFIG = """
_base_ = ['./_base_/search.py']
model = dict(
    resource=None,
    backbone=dict(space=None, arch='{{fileDirname}}/arch.json'),
)
# Without what acts on a supernet.
custom_hooks = [
    hook
    for hook in _base_.custom_hooks
    if hook['type'].rpartition('.')[2]
    not in ('PenaltyHook', 'ShrinkHook', 'EMAHook', 'BNRecalibrationHook')
]
"""


class Retraining(NamedTuple):
    """Files that :func:`write_retraining` made, and figures of what they are about.

    ``before`` are ``MACs``, ``parameters``, channels by kernel size, ``blocks`` in use
    and ``queries`` of the supernet, ``after`` the same of what was found.
    """

    config: Path
    weights: Path
    arch: Path
    before: dict[str, int]
    after: dict[str, int]


class SearchResult(NamedTuple):
    """What a checkpoint of a search holds: the estimator, in eval mode, and its notes.

    The config is without the paths of its run; ``averaged`` says whether the weights
    are a moving average.
    """

    config: Config
    model: Any
    meta: Mapping[str, Any]
    averaged: bool

    @property
    def input_size(self) -> tuple[int, int]:
        """``(W, H)`` of the image."""
        width, height = self.config.model.head.decoder.input_size
        return int(width), int(height)

    @property
    def search_name(self) -> str:
        """Name of the search's config, as far as the checkpoint knows it."""
        name = str(self.meta.get('experiment_name') or 'hrnas-search')
        return re.sub(r'_\d{8}_\d{6}$', '', name)

    def describe(self) -> dict[str, Any]:
        """The architecture, ready for JSON."""
        net = self.model.backbone
        return dump_arch(net.space, net.arch, self.input_size)

    def figures(self, model: Any) -> dict[str, int]:
        """Figures of the model, or of its supernet; see :class:`Retraining`."""
        cost, net = complexity(model, self.input_size[::-1]), model.backbone
        found = dict(parameters=cost.params, MACs=cost.macs)
        return {**found, **extent(net.space, net.arch)}


def search_result(
    checkpoint: Mapping[str, Any], config: str | os.PathLike[str] | None = None
) -> SearchResult:
    """Understand a checkpoint: its weights must fit its config, and its notes them.

    Without the path of a config the text in the checkpoint's notes counts, which is
    read as plain values and never run.

    Raises:
        ValueError: If it is no such checkpoint, or two sources contradict each other
            (the message names both).
        ImportError: If a module of the config's ``custom_imports`` is missing.
    """
    meta, weights = checkpoint.get('meta') or {}, checkpoint.get('state_dict')
    if not isinstance(weights, Mapping):
        raise ValueError('the checkpoint has no state_dict')
    if config is not None:
        values = Config.fromfile(config).to_dict()
    elif meta.get('cfg'):
        values = read_config_text(str(meta['cfg']))
    else:
        raise ValueError("the checkpoint has no config: name the search's config")
    found = Config({k: v for k, v in values.items() if k not in _OF_THE_RUN})
    if found.get('custom_imports'):
        import_modules_from_strings(**found.custom_imports)
    for part in (found.model, found.model.get('backbone') or {}):
        if (part.get('init_cfg') or {}).get('type') == 'Pretrained':
            part.pop('init_cfg')  # weights of the supernet do not fit
    plain = copy.deepcopy(found)
    if plain.model.get('resource'):  # it may name a table that is elsewhere
        plain.model.resource = None
    model: Any = build_model(plain).eval()
    net = getattr(model, 'backbone', None)
    if not isinstance(net, HRNASNet):
        raise ValueError(
            f"the config's model.backbone must be an HRNASNet, got {type(net).__name__}"
        )
    if stored_arch(net, checkpoint) is None:
        raise ValueError(
            'the checkpoint has not every block of the space below backbone.*; its '
            f'keys are like {list(weights)[:3]}'
        )
    result = SearchResult(found, model, meta, 'ema_state_dict' in checkpoint)
    noted = (meta.get(ARCH_KEY) or {}).get('input_size') or result.input_size
    if tuple(noted) != result.input_size:
        raise ValueError(
            f'input_size (W, H) is {tuple(noted)} in the checkpoint and '
            f'{result.input_size} in the config'
        )
    load_weights(model, weights)
    return result


def architecture_of(
    checkpoint: Mapping[str, Any], config: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """Architecture of a checkpoint, ready for JSON: as noted in it, else by its config.

    The checkpoint is of a search, of a retraining, or of :func:`write_retraining`; one
    that contradicts itself is a ``ValueError``.
    """
    noted = (checkpoint.get('meta') or {}).get(ARCH_KEY)
    if noted is None or config is not None:
        return search_result(checkpoint, config).describe()
    net = HRNASNet(noted)
    stored_arch(net, checkpoint)
    return dump_arch(net.space, net.arch, noted.get('input_size'))


def write_retraining(
    checkpoint: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    config: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> Retraining:
    """Write a folder from which a network that was found is trained.

    It holds ``NAME.py`` (a few lines on the search's own config, which lies in
    ``_base_/``), ``NAME.pth`` and ``arch.json``, and can be moved as a whole. The
    network is built from these files and compared with the one that was found before
    the folder gets its name. ``config`` is as of :func:`search_result`; without
    ``name`` the search's is taken.

    Raises:
        ValueError: If the folder is not empty, ``name`` is no file name, the checkpoint
            contradicts itself or its config, or the network of the files differs.
        OSError: If the folder cannot be written.
    """
    out = Path(os.path.realpath(out_dir))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f'out_dir must be new or an empty folder, got {out}')
    result = search_result(read_checkpoint(checkpoint), config)
    if name is None:
        name = _default_name(Path(config).stem if config else result.search_name)
    if not re.fullmatch(r'\w[\w.+-]*', name):
        raise ValueError(f'name must be a file name without suffix, got {name!r}')
    supernet = copy.deepcopy(result.model)
    supernet.backbone.reshape(full_arch(supernet.backbone.space))
    before, after = result.figures(supernet), result.figures(result.model)
    lines = _provenance(result, Path(checkpoint).name, after)
    files = (f'{name}.py', f'{name}.pth', 'arch.json')
    near = next(folder for folder in out.parents if folder.is_dir())
    remove_parts(near)
    part = Path(part_name(near / out.name))
    config_path, weights, arch = (part / file for file in files)
    try:
        (part / '_base_').mkdir(parents=True)
        base = result.config.pretty_text
        write_atomically(part / '_base_' / 'search.py', base.encode())
        write_atomically(config_path, format_config(lines).encode())
        write_atomically(weights, _weights(result))
        write_atomically(arch, format_arch(result.describe()).encode())
        _prove(result, load_model(config_path, weights))
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists():
            out.rmdir()
        os.replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Retraining(*(out / file for file in files), before, after)


def _default_name(search: str) -> str:
    if 'supernet' in search:
        return search.replace('supernet', 'searched')
    named = re.sub('hrnas[^_]*', r'\g<0>-searched', search, count=1)
    return named if named != search else f'searched_{search}'


def _weights(result: SearchResult) -> bytes:
    """A checkpoint with nothing but weights, and where they come from."""
    notes = ('epoch', 'iter', 'seed', 'time', 'dataset_meta')
    meta = {key: result.meta[key] for key in notes if key in result.meta}
    meta.update({ARCH_KEY: result.describe(), 'exported_from': result.search_name})
    data = io.BytesIO()
    torch.save({'state_dict': result.model.state_dict(), 'meta': meta}, data)
    return data.getvalue()


@torch.no_grad()
def _prove(result: SearchResult, written: Any) -> None:
    """Refuse a network whose outputs differ, or are not finite: that proves nothing."""
    width, height = result.input_size
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, height, width, generator=draw)
    found: list[Sequence[Tensor]] = []
    for model in (written, result.model):
        maps = model._forward(images)
        found.append([maps] if isinstance(maps, Tensor) else maps)
    if relative_difference(*found) > TOLERANCE:
        raise ValueError('the network that was written is another: its outputs differ')


def format_config(lines: Iterable[str]) -> str:
    """Config that trains a network which was found, with a comment at its head."""
    # Whatever a line holds, it must not end the comment.
    return '\n'.join(f'# {" ".join(line.splitlines())}' for line in lines) + _CONFIG


def _provenance(
    result: SearchResult, checkpoint: str, after: Mapping[str, int]
) -> Iterator[str]:
    """Where a network comes from, and how to go on with it, in lines for a comment."""
    notes = ('epoch', 'iter', 'seed', 'time')
    epoch, step, seed, time = (result.meta.get(note, 'unknown') for note in notes)
    target = (result.config.model.get('resource') or {}).get('target') or {}
    budget = ', '.join(f'{k} = {v:g}' for k, v in target.items()) or 'none'
    macs, parameters = after['MACs'] / 1e9, after['parameters'] / 1e6
    weights = f'{"averaged " * result.averaged}weights of {checkpoint}'
    yield 'Network found by a search with HR-NAS, written by mmpose-lite retrain.'
    yield f'search   {result.search_name}: {weights}'
    yield f'trained  {epoch} epochs, {step} iterations, seed {seed}, saved {time}'
    yield f'budget   {budget}'
    yield f'network  {macs:.3f} GMACs, {parameters:.3f} M parameters'
    yield 'Training starts from scratch; with --cfg-options load_from=FILE.pth, from'
    yield 'the weights beside this file.'


def read_config_text(text: str) -> dict[str, Any]:
    """Values of a config as ``Config.pretty_text`` dumps it and checkpoints hold it.

    The text comes out of a file that anybody may have written, so nothing of it is run:
    assignments of literals and of ``dict(...)`` are all that it may hold.

    Raises:
        ValueError: If there is anything else in it; the message names the line.
    """
    try:
        statements = ast.parse(text).body
    except SyntaxError as error:
        raise ValueError(f'the config text is no Python: {error}') from error
    values: dict[str, Any] = {}
    for statement in statements:
        try:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    values[name] = ast.literal_eval(_Dicts().visit(value))
                case _:
                    raise ValueError('no assignment')
        except ValueError as error:
            raise ValueError(
                f'the config text has more than plain values in line '
                f'{statement.lineno}: {ast.unparse(statement)[:80]}'
            ) from error
    return values


class _Dicts(ast.NodeTransformer):
    """Writes ``dict(a=1)`` as ``{'a': 1}``, which ``ast.literal_eval`` reads."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        names = [ast.Constant(pair.arg) for pair in node.keywords if pair.arg]
        is_dict = isinstance(node.func, ast.Name) and node.func.id == 'dict'
        if not is_dict or node.args or len(names) < len(node.keywords):
            return node
        return ast.Dict([*names], [self.visit(pair.value) for pair in node.keywords])
