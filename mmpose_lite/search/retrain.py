"""What a search found, as files that are trained: config, weights, architecture."""

from __future__ import annotations

import ast
import copy
import io
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
_base_ = ['{base}']
model = dict(
    resource=None,
    backbone=dict(space=None, arch='{{{{fileDirname}}}}/{arch}'),
)
# Without what acts on a supernet.
custom_hooks = [
    hook
    for hook in _base_.custom_hooks
    if hook['type'].rpartition('.')[2]
    not in ('PenaltyHook', 'ShrinkHook', 'EMAHook', 'BNRecalibrationHook')
]
"""


@dataclass(frozen=True)
class Retraining:
    """Files that :func:`write_retraining` made, and what they are about.

    Attributes:
        config: Trains the network from scratch, with the search's own recipe.
        weights: Those that the search ended with.
        arch: The architecture.
        before: Figures of the supernet: ``MACs``, ``parameters``, channels by kernel
            size, ``blocks`` in use, ``queries``.
        after: The same of what was found.
    """

    config: Path
    weights: Path
    arch: Path
    before: dict[str, int]
    after: dict[str, int]


@dataclass(frozen=True)
class SearchResult:
    """What a checkpoint of a search holds.

    Attributes:
        config: Config of the search, without the paths of its run.
        model: The estimator that was found, in eval mode.
        before: See :class:`Retraining`.
        meta: MMEngine's notes.
        averaged: Whether the weights are a moving average.
    """

    config: Config
    model: Any
    before: dict[str, int]
    meta: Mapping[str, Any]
    averaged: bool

    @property
    def input_size(self) -> tuple[int, int]:
        """``(W, H)`` of the image."""
        width, height = self.config.model.head.decoder.input_size
        return int(width), int(height)

    def describe(self) -> dict[str, Any]:
        """The architecture, ready for JSON."""
        net = self.model.backbone
        return dump_arch(net.space, net.arch, self.input_size)

    @property
    def search_name(self) -> str:
        """Name of the search's config, as far as the checkpoint knows it."""
        name = str(self.meta.get('experiment_name') or 'hrnas-search')
        return re.sub(r'_\d{8}_\d{6}$', '', name)


def search_result(
    checkpoint: Mapping[str, Any], config: str | os.PathLike[str] | None = None
) -> SearchResult:
    """Understand a checkpoint: its weights must fit its config, and its notes them.

    Args:
        checkpoint: As ``torch.load`` gives it.
        config: Path of the search's config; the text in the checkpoint's notes, which
            is read as plain values and never run, if None.

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
    arch = stored_arch(net, checkpoint)
    if arch is None:
        raise ValueError(
            'the checkpoint has not every block of the space below backbone.*; its '
            f'keys are like {list(weights)[:3]}'
        )
    size = tuple(found.model.head.decoder.input_size)
    noted = (meta.get(ARCH_KEY) or {}).get('input_size') or size
    if tuple(noted) != size:
        raise ValueError(
            f'input_size (W, H) is {tuple(noted)} in the checkpoint and {size} in the '
            'config'
        )
    supernet = copy.deepcopy(model)
    supernet.backbone.reshape(full_arch(net.space))
    before = _figures(supernet, size)
    load_weights(model, weights)
    return SearchResult(found, model, before, meta, 'ema_state_dict' in checkpoint)


def architecture_of(
    checkpoint: Mapping[str, Any], config: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """Architecture of a checkpoint, ready for JSON: as noted in it, else by its config.

    Args:
        checkpoint: Of a search, of a retraining, or of :func:`write_retraining`.
        config: See :func:`search_result`.

    Raises:
        ValueError: If weights and notes contradict each other, or it is no such
            checkpoint.
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
    """Write what a search found as files of its own, and prove that they compute it.

    The folder gets ``NAME.py``, a few lines on a copy of the search's config
    (``_base_/search.py``), ``NAME.pth`` and ``arch.json``; it appears whole or not at
    all.

    Args:
        checkpoint: Of a search.
        out_dir: A folder that is empty or does not exist yet.
        config: See :func:`search_result`.
        name: Of config and weights; that of the search's config, with *searched* in the
            place of *supernet*, if None.

    Returns:
        The files, and figures of what was found.

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
    after = _figures(result.model, result.input_size)
    header = [*_provenance(result, Path(checkpoint).name, after)]
    near = next(folder for folder in out.parents if folder.is_dir())
    remove_parts(near)
    part = Path(part_name(near / out.name))
    names = (f'{name}.py', f'{name}.pth', 'arch.json')
    try:
        (part / '_base_').mkdir(parents=True)
        base, arch = part / '_base_' / 'search.py', format_arch(result.describe())
        write_atomically(base, result.config.pretty_text.encode())
        text = format_config(header, './_base_/search.py', 'arch.json')
        write_atomically(part / names[0], text.encode())
        write_atomically(part / names[1], _weights(result))
        write_atomically(part / names[2], arch.encode())
        _prove(result, part / names[0], part / names[1])
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists():
            out.rmdir()
        os.replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    config_path, weights, arch_path = (out / name for name in names)
    return Retraining(config_path, weights, arch_path, result.before, after)


def _default_name(search: str) -> str:
    """Name of the search's config with what it is now."""
    if 'supernet' in search:
        return search.replace('supernet', 'searched')
    named = re.sub('hrnas[^_]*', r'\g<0>-searched', search, count=1)
    return named if named != search else f'searched_{search}'


def _figures(model: Any, input_size: tuple[int, int]) -> dict[str, int]:
    cost, net = complexity(model, input_size[::-1]), model.backbone
    return dict(parameters=cost.params, MACs=cost.macs, **extent(net.space, net.arch))


def _weights(result: SearchResult) -> bytes:
    """A checkpoint with nothing but weights, and where they come from."""
    notes = ('epoch', 'iter', 'seed', 'time', 'dataset_meta')
    meta = {key: result.meta[key] for key in notes if key in result.meta}
    meta.update({ARCH_KEY: result.describe(), 'exported_from': result.search_name})
    data = io.BytesIO()
    torch.save({'state_dict': result.model.state_dict(), 'meta': meta}, data)
    return data.getvalue()


def _prove(result: SearchResult, config: Path, weights: Path) -> None:
    """Build the network from its files and compare it with the one that was found.

    Raises:
        ValueError: If outputs differ, or are not finite: that would compare nothing.
    """
    written = load_model(config, weights)
    width, height = result.input_size
    images = torch.randn(
        2, 3, height, width, generator=torch.Generator().manual_seed(0)
    )
    ours, theirs = (_outputs(model, images) for model in (result.model, written))
    if relative_difference(theirs, ours) > TOLERANCE:
        raise ValueError('the network that was written is another: its outputs differ')


@torch.no_grad()
def _outputs(model: Any, images: Tensor) -> Sequence[Tensor]:
    found = model._forward(images)
    return [found] if isinstance(found, Tensor) else found


def format_config(header: list[str], base: str, arch: str) -> str:
    """Config that trains a network which was found.

    Args:
        header: Lines of the comment at its head.
        base: The search's config, relative to this one.
        arch: The architecture's file beside it.
    """
    # Whatever a line holds, it must not end the comment.
    comment = [f'# {" ".join(line.splitlines())}'.rstrip() for line in header]
    return '\n'.join(comment) + _CONFIG.format(base=base, arch=arch)


def _provenance(
    result: SearchResult, checkpoint: str, after: Mapping[str, int]
) -> Iterator[str]:
    """Where a network comes from, and how to go on with it, in lines for a comment."""
    meta, before, config = result.meta, result.before, result.config
    saved = re.sub(
        r'(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)',
        r'\1-\2-\3 \4:\5:\6',
        str(meta.get('time', 'unknown')),
    )
    target = (config.model.get('resource') or {}).get('target') or {}
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    data = f'{dataset.get("data_root") or ""}{dataset.get("ann_file") or ""}'
    network, supernet = (
        f'{figures["MACs"] / 1e9:.3f} GMACs, {figures["parameters"] / 1e6:.3f} M '
        'parameters'
        for figures in (after, before)
    )
    width, height = result.input_size
    yield 'Network found by a search with HR-NAS, written by mmpose-lite retrain.'
    yield ''
    yield (
        f'search   {result.search_name}: {"averaged " * result.averaged}weights of '
        f'{checkpoint}'
    )
    yield (
        f'trained  {meta.get("epoch", "?")} epochs, {meta.get("iter", "?")} '
        f'iterations, seed {meta.get("seed", "unknown")}, saved {saved}'
    )
    yield f'data     {data or "unknown"}'
    yield f'budget   {", ".join(f"{k} = {v:g}" for k, v in target.items()) or "none"}'
    yield f'network  {network} at {height}x{width} (H x W)'
    yield f'         of {supernet} of the supernet'
    yield ''
    yield 'Training starts from scratch; with --cfg-options load_from=FILE.pth, from'
    yield 'the weights beside this file.'


class _Dicts(ast.NodeTransformer):
    """Writes ``dict(a=1)`` as ``{'a': 1}``, which ``ast.literal_eval`` reads."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        names = [ast.Constant(pair.arg) for pair in node.keywords if pair.arg]
        is_dict = isinstance(node.func, ast.Name) and node.func.id == 'dict'
        if not is_dict or node.args or len(names) < len(node.keywords):
            return node
        values = [self.visit(pair.value) for pair in node.keywords]
        return ast.copy_location(ast.Dict([*names], values), node)


def read_config_text(text: str) -> dict[str, Any]:
    """Values of a dumped config, as MMEngine stores it in checkpoints.

    The text comes out of a file that anybody may have written, so nothing of it is run:
    assignments of literals and of ``dict(...)`` are all that it may hold.

    Args:
        text: What ``Config.pretty_text`` gave.

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
