"""Search spaces and searched architectures of HR-NAS as plain data.

An architecture is a list with one entry per searching block, in block order, in the
upstream form with one element more: ``[out_channels, 1, stride, kernels, channels,
true, tokens]``. As a file or mapping it also holds the space that it was found in.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from torch import Tensor

from ...checks import Rule, check, check_fields, each, number, one_of, record_of, whole

TRANSFORMERS = (None, 'residual', 'all')
HEADER = 'mmpose_lite.HRNASNet'
_ODD = Rule('an odd number', lambda n: whole(1).problem(n) is None and n % 2 == 1)


@dataclass(frozen=True)
class SearchSpace:
    """The supernet: how many blocks of which widths, and what each may contain.

    Attributes:
        num_blocks: Per stage and resolution, high to low, the blocks in a row.
        channels: Per stage, the width of each resolution.
        expand: Hidden channels per input channel and kernel size.
        kernels: Sides of the depthwise kernels, odd.
        transformer: None, ``'residual'`` (in blocks whose shortcut is the identity) or
            ``'all'``.

    Raises:
        ValueError: If the lists disagree in length or a number is out of range.
    """

    num_blocks: tuple[tuple[int, ...], ...]
    channels: tuple[tuple[int, ...], ...]
    stem_channels: tuple[int, int] = (24, 24)
    head_channels: int = 90
    expand: float = 4
    kernels: tuple[int, ...] = (3, 5, 7)
    transformer: str | None = None
    tokens: int = 64

    def __post_init__(self) -> None:
        check_fields(
            'space',
            self,
            expand=number(above=0),
            kernels=each(_ODD, least=1),
            transformer=one_of(*TRANSFORMERS),
        )
        lengths = [len(row) for row in self.channels]
        allowed = [
            min(max(length, 1), before + 1)
            for before, length in zip([1, *lengths], lengths, strict=False)
        ]
        counts = [len(row) for row in self.num_blocks]
        if not lengths or not counts == lengths == allowed:
            raise ValueError(
                'space num_blocks and channels need the same resolutions, at least '
                'one and from stage to stage at most one more, got '
                f'{self.num_blocks} and {self.channels}'
            )
        if len(set(self.kernels)) < len(self.kernels):
            raise ValueError(f'space kernels must differ, got {self.kernels}')
        least = min(self.stem_channels[1], *(n for row in self.channels for n in row))
        if round(self.expand * least) < 1:
            raise ValueError(
                f'space expand must be a number that leaves the narrowest block, of '
                f'{least} channels, at least one hidden channel, got {self.expand!r}'
            )


_DEEP = ((1,), (2, 2), (2, 2, 3), (2, 2, 3, 4), (2, 2, 3, 4))
_WIDE = ((24,), (18, 36), (18, 36, 72), (18, 36, 72, 144), (18, 36, 72, 144))
# The published supernet for keypoints, and one for CPUs and toy data.
SPACES = {
    'keypoint': SearchSpace(_DEEP, _WIDE),
    'mini': SearchSpace(
        ((1,), (1, 1), (1, 1, 1)),
        ((12,), (8, 16), (8, 16, 32)),
        stem_channels=(8, 12),
        head_channels=16,
        tokens=16,
    ),
}


@dataclass(frozen=True)
class Place:
    """Where a searching block stands: its input has stride ``4 * 2^level``."""

    in_channels: int
    out_channels: int
    stride: int
    level: int

    @property
    def is_residual(self) -> bool:
        """Whether the shortcut is the identity."""
        return self.stride == 1 and self.in_channels == self.out_channels

    @property
    def group_width(self) -> int:
        """Input channels per group of the shortcut's convolution, if it has one."""
        return self.in_channels // math.gcd(self.in_channels, self.out_channels)

    def sizes(self, image_size: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Height and width of input and output for an image of ``(H, W)``."""
        height, width = image_size
        # Every stride-2 convolution rounds up.
        reductions = [2 + self.level, 2 + self.level + (self.stride == 2)]
        return tuple((-(-height // 2**r), -(-width // 2**r)) for r in reductions)


@dataclass(frozen=True)
class BlockArch:
    """What the search left of a block; 0 tokens are no transformer."""

    kernels: tuple[int, ...]
    channels: tuple[int, ...]
    tokens: int = 0


def fuse_sources(before: int, after: int) -> list[list[int]]:
    """Per fused resolution, the neighbouring resolutions that flow into it."""
    return [
        [j for j in (i - 1, i, i + 1) if 0 <= j < before]
        for i in range(min(before, after))
    ]


def places(space: SearchSpace) -> Iterator[Place]:
    """The blocks of a space in block order."""
    before: tuple[int, ...] = (space.stem_channels[1],)
    for after, counts in zip(space.channels, space.num_blocks, strict=True):
        for i, sources in enumerate(fuse_sources(len(before), len(after))):
            for j in sources:
                yield Place(before[j], after[i], 2 if j < i else 1, j)
        for i in range(len(before), len(after)):
            yield Place(after[i - 1], after[i], 2, i - 1)
        for level, (width, count) in enumerate(zip(after, counts, strict=True)):
            yield from [Place(width, width, 1, level)] * count
        before = after
    yield Place(sum(before), space.head_channels, 1, 0)


def full_width(space: SearchSpace, place: Place) -> int:
    """Hidden channels per kernel size of a block of the supernet."""
    return round(space.expand * place.in_channels)


def full_arch(space: SearchSpace) -> list[BlockArch]:
    """The supernet of a space."""
    full = []
    for place in places(space):
        channels = (full_width(space, place),) * len(space.kernels)
        has_tokens = space.transformer == 'all' or (
            space.transformer == 'residual' and place.is_residual
        )
        tokens = space.tokens if has_tokens else 0
        full.append(BlockArch(space.kernels, channels, tokens))
    return full


def resolve_space(space: str | Mapping) -> SearchSpace:
    """Space by name, by a dict of its fields, or by ``dict(base=name, **changes)``."""
    if isinstance(space, Mapping) and 'base' in space:
        changes = {key: value for key, value in space.items() if key != 'base'}
        space = {**asdict(resolve_space(space['base'])), **changes}
    hint = f"; 'base' may name one of {list(SPACES)} to change"
    return record_of('space', SearchSpace, space, SPACES, hint)


def read_arch(path: str | os.PathLike[str]) -> dict:
    """The mapping in a file; a ``ValueError`` if that is no architecture."""
    with open(path, encoding='utf-8') as file:
        try:
            data = json.load(file)
        except ValueError as error:
            raise ValueError(f'{path} is no JSON: {error}') from error
    if isinstance(data, list):
        return dict(blocks=data)
    if not isinstance(data, dict) or 'blocks' not in data:
        raise ValueError(f"{path} is no architecture: it has no 'blocks'")
    return data


def dump_arch(
    space: SearchSpace, arch: Sequence[BlockArch], input_size: Sequence[int] | None
) -> dict:
    """Architecture with its header, ready for JSON; ``input_size`` is ``(W, H)``."""
    blocks = []
    for place, block in zip(places(space), arch, strict=True):
        parts = list(block.kernels), list(block.channels)
        blocks.append([place.out_channels, 1, place.stride, *parts, True, block.tokens])
    return dict(
        type=HEADER,
        input_size=None if input_size is None else list(input_size),
        space=json.loads(json.dumps(asdict(space))),
        blocks=blocks,
    )


def parse_arch(space: SearchSpace, blocks: Sequence[Sequence]) -> list[BlockArch]:
    """Check blocks, upstream's of 6 elements or ours of 7, against a space.

    Raises:
        ValueError: If there are too many or few, or one does not fit its place or is no
            part of the supernet there.
    """
    where = list(places(space))
    check('arch blocks', blocks, each(Rule('a list', lambda entry: True)))
    if len(blocks) != len(where):
        raise ValueError(
            f'arch must have {len(where)} blocks for this space, got {len(blocks)}'
        )
    rows = zip(where, blocks, strict=True)
    return [_parse_block(space, f'arch[{i}]', *row) for i, row in enumerate(rows)]


def _parse_block(
    space: SearchSpace, name: str, place: Place, entry: Sequence
) -> BlockArch:
    try:
        out_channels, repeats, stride, kernels, channels, expands, *rest = entry
        (tokens,) = rest or (0,)
        fits = (
            (out_channels, stride) == (place.out_channels, place.stride)
            and (repeats, expands) == (1, True)
            and len(kernels) == len(channels) == len(set(kernels))
        )
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(
            f'{name} must be [{place.out_channels}, 1, {place.stride}, kernels, '
            f'channels, true] or the same with a number of tokens, with different '
            f'kernels and a width for each; got {entry}'
        )
    check(f'{name} kernels', kernels, each(one_of(*space.kernels)))
    check(f'{name} channels', channels, each(whole(1, full_width(space, place))))
    check(f'{name} tokens', tokens, whole(0, space.tokens))
    return BlockArch(tuple(kernels), tuple(channels), tokens)


def infer_arch(
    state_dict: Mapping[str, Tensor], names: Sequence[str]
) -> list[BlockArch] | None:
    """The architecture that weights belong to, from their shapes alone.

    ``names`` are the prefixes of the blocks' keys, in block order; None if not every
    block has weights there.
    """
    found: dict[str, dict] = {name: {} for name in names}
    pattern = re.compile(
        r'(.+)\.(?:ops\.(\d+)\.depthwise\.conv\.weight|(transformer)\.project\.weight'
        r'|(constant|pw_bn)(?:\.weight)?)'
    )
    for key, value in state_dict.items():
        match = pattern.fullmatch(key)
        if match is not None and match[1] in found:
            found[match[1]][match[2] or match[3] or 'present'] = tuple(value.shape)
    if not all(found.values()):
        return None
    result = []
    for parts in found.values():
        ops = [parts[key] for key in sorted(filter(str.isdigit, parts), key=int)]
        kernels, channels = (tuple(shape[i] for shape in ops) for i in (-1, 0))
        (tokens, *_) = parts.get('transformer', (0,))
        result.append(BlockArch(kernels, channels, tokens))
    return result
