"""What a search made of its supernet, in figures for people."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from torch import nn

from ..analysis import Complexity, complexity
from ..models.backbones.hrnas_arch import BlockArch, full_arch
from .export_check import supernet
from .result import SearchResult


@dataclass(frozen=True)
class Extent:
    """What a network has and costs.

    Attributes:
        complexity: Parameters and MACs with the head.
        channels: Hidden channels by kernel size.
        tokens: Queries of all transformers.
        blocks: Blocks with convolutions or a transformer.
    """

    complexity: Complexity
    channels: dict[int, int]
    tokens: int
    blocks: int


def extents(result: SearchResult, network: nn.Module) -> tuple[Extent, Extent]:
    """Supernet and searched network, measured on the searched network's image size.

    Raises:
        ValueError: If the size is unknown.
    """
    if result.input_size is None:
        raise ValueError('neither checkpoint nor config tells input_size (W, H)')
    image_size = result.input_size[::-1]
    return (
        _extent(complexity(supernet(result), image_size), full_arch(result.space)),
        _extent(complexity(network, image_size), result.arch),
    )


def _extent(cost: Complexity, arch: list[BlockArch]) -> Extent:
    channels: Counter[int] = Counter()
    for block in arch:
        channels.update(dict(zip(block.kernels, block.channels, strict=True)))
    return Extent(
        cost,
        dict(sorted(channels.items())),
        sum(block.tokens for block in arch),
        sum(bool(block.channels or block.tokens) for block in arch),
    )


def provenance(
    result: SearchResult, checkpoint: str, before: Extent, after: Extent
) -> list[str]:
    """Where a network comes from, and how to go on with it, in lines for a comment."""
    meta, size = result.meta, 'x'.join(map(str, (result.input_size or ())[::-1]))
    saved = re.sub(
        r'(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)',
        r'\1-\2-\3 \4:\5:\6',
        str(meta.get('time', 'unknown')),
    )
    resource = result.config.get('model', {}).get('resource') or {}
    target = resource.get('target') or {}
    weights = 'averaged weights' if result.averaged else 'weights'
    cost = [f'{e.complexity.macs / 1e9:.3f} GMACs' for e in (after, before)]
    params = [f'{e.complexity.params / 1e6:.3f} M parameters' for e in (after, before)]
    dataset = (result.config.get('train_dataloader') or {}).get('dataset') or {}
    data = f'{dataset.get("data_root") or ""}{dataset.get("ann_file") or ""}'
    return [
        'Network found by a search with HR-NAS, written by tools/export_arch.py.',
        '',
        f'search   {result.search_name}: {weights} of {checkpoint}',
        f'trained  {meta.get("epoch", "?")} epochs, {meta.get("iter", "?")} '
        f'iterations, seed {meta.get("seed", "unknown")}, saved {saved}',
        f'data     {data or "unknown"}',
        f'budget   {", ".join(f"{k} = {v:g}" for k, v in target.items()) or "none"}',
        f'network  {cost[0]}, {params[0]} at {size} (H x W)',
        f'         of {cost[1]}, {params[1]} of the supernet',
        '',
        'Training starts from scratch; with --cfg-options load_from=FILE.pth, from',
        'the weights beside this file.',
    ]


def comparison(before: Extent, after: Extent) -> dict[str, str]:
    """Rows for a table: what there was, what is left, and how much of it that is."""
    rows: list[tuple] = [
        (
            'parameters (M)',
            before.complexity.params / 1e6,
            after.complexity.params / 1e6,
        ),
        ('MACs (G)', before.complexity.macs / 1e9, after.complexity.macs / 1e9),
    ]
    for kernel in sorted({**before.channels, **after.channels}):
        sums = (extent.channels.get(kernel, 0) for extent in (before, after))
        rows.append((f'channels {kernel}x{kernel}', *sums))
    rows.append(('queries', before.tokens, after.tokens))
    rows.append(('blocks in use', before.blocks, after.blocks))
    table = {'': f'{"supernet":>10}{"searched":>10}{"left":>8}'}
    for name, old, new in rows:
        left = f'{new / old:.1%}' if old else '-'
        number = '.3f' if isinstance(old, float) else 'd'
        table[name] = f'{old:>10{number}}{new:>10{number}}{left:>8}'
    return table
