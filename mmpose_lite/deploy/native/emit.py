"""A planned network as C++ text: a list of calls of kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .graph import Graph, Node, Term, Value
from .memory import ALIGNMENT, MemoryPlan, room, round_up
from .running import VERSION

Floats = NDArray[np.float32]
VECTORS = {16: 4, 8: 2, 4: 4}  # lanes to vectors of output channels of a tile
PIXELS = {16: {1: 12, 2: 12, 3: 8, 4: 6}, 8: {1: 8, 2: 6}, 4: {1: 12, 2: 8, 3: 6, 4: 6}}
"""Lanes and vectors to the pixels of a tile, so that its sums fit the registers."""
_STEPS = 6  # vectors from which one is put together; else it is copied by channels


class Block(NamedTuple):
    """Output channels that a call computes, in tiles of so many vectors and pixels."""

    channel: int
    lanes: int
    vectors: int
    pixels: int


def blocks(width: int, lanes: int) -> list[Block]:
    """Output channels in blocks of about the same size, then what remains."""
    whole, found, channel = width // lanes, [], 0
    count = -(-whole // VECTORS[lanes])
    for i in range(count):
        vectors = whole // count + (i < whole % count)
        found.append(Block(channel, lanes, vectors, PIXELS[lanes][vectors]))
        channel += vectors * lanes
    narrow = lanes // 2
    while channel < width:
        if channel + narrow <= width:
            found.append(Block(channel, narrow, 1, PIXELS[lanes][1]))
            channel += narrow
        else:
            narrow //= 2
    return found


def _pack_block(weight: Floats, bias: Floats, block: Block) -> Floats:
    """Bias, then for every row, column and input all outputs' weights, zero beyond."""
    width = block.lanes * block.vectors
    run = slice(block.channel, block.channel + width)
    rows = weight.transpose(2, 3, 1, 0).reshape(-1, len(bias))
    parts = np.concatenate((bias[None], rows))[:, run]
    return np.pad(parts, ((0, 0), (0, width - parts.shape[1])))


def _pack_depthwise(weight: Floats, bias: Floats, lanes: int) -> Floats:
    """Bias, then the weights of each tap; a vector may begin with any channel."""
    parts = np.concatenate((bias[None], weight.reshape(len(bias), -1).T))
    width = parts.shape[1]
    return parts[:, np.arange(width + (lanes if width % lanes else 0)) % width]


def _at(value: Value) -> str:
    """Address of a map and its step."""
    return f'a + {value.start}, {value.stride}'


def _added(node: Node, term: Term | None) -> str:
    """What a product is added to."""
    if term is None:
        return 'Nothing{}'
    if term.factors == (1, 1):
        return f'Same{{{_at(term.value)}}}'
    _, height, width, _ = node.output.shape
    sizes = f'{height}, {width}, {term.factors[0]}, {term.factors[1]}'
    return f'Lifted<{sizes}>{{{_at(term.value)}}}'


def _pixel(term: Term) -> str:
    """Pixel of a term for pixel (b, r, q) of the result."""
    _, height, width, _ = term.value.shape
    rows, columns = term.factors
    row = f'r / {rows}' if rows > 1 else 'r'
    column = f'q / {columns}' if columns > 1 else 'q'
    place = f'(b * {height} + {row}) * {width} + {column}'
    return f'a + {term.value.start} + ({place}) * {term.value.stride}L'


class Emitter:
    """Writes the calls of a network; a kind of operation has a method of its name."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.weights: list[Floats] = []
        self.weight_count = self.scratch = 0
        self.permutations: dict[tuple[int, ...], str] = {}

    def statements(self, node: Node) -> list[str]:
        """Statements of an operation."""
        return getattr(self, f'_{node.kind}')(node)

    def constant(self, values: Floats) -> str:
        """Append an array to the weights, and return its address."""
        start, padding = self.weight_count, -values.size % ALIGNMENT
        self.weights.append(np.pad(values.astype(np.float32).ravel(), (0, padding)))
        self.weight_count += values.size + padding
        return f'w + {start}'

    def need(self, floats: int) -> None:
        """Reserve scratch memory of at least so many floats."""
        self.scratch = max(self.scratch, floats)

    def product(
        self, node: Node, call: str, before: str, after: str, width: int
    ) -> list[str]:
        """A call for each block of ``width`` output channels."""
        weight, bias = node.attrs['weight'], node.attrs['bias']
        activation = node.attrs.get('activation', 'none').upper()
        added = _added(node, node.attrs.get('residual'))
        lines = []
        for block in blocks(width, self.lanes):
            packed = self.constant(_pack_block(weight, bias, block))
            tile = f'{block.lanes}, {block.pixels}, {block.vectors}, {activation}'
            arguments = f'{before}, {packed}, {after}, {added}, {block.channel}'
            lines.append(f'{call}<{tile}>({arguments});')
        return lines

    def _import(self, node: Node) -> list[str]:
        batch, height, width, channels = node.inputs[0].shape
        rows, columns = node.attrs.get('padding', (0, 0))
        sizes = f'{batch}, {channels}, {height}, {width}, {rows}, {columns}'
        return [f'import_image({sizes}, image, a + {node.output.start});']

    def _export(self, node: Node) -> list[str]:
        batch, height, width, channels = node.inputs[0].shape
        sizes = f'{batch}, {channels}, {height * width}'
        return [f'export_map({sizes}, {_at(node.inputs[0])}, result);']

    def _pad(self, node: Node) -> list[str]:
        batch, height, width, channels = node.inputs[0].shape
        rows, columns = node.attrs['padding']
        maps = f'{_at(node.inputs[0])}, a + {node.output.start}'
        sizes = f'{batch}, {height}, {width}, {rows}, {columns}'
        return [f'pad<{channels}>({sizes}, {maps});']

    def _pointwise(self, node: Node) -> list[str]:
        x, y = node.inputs[0], node.output
        before = f'{x.pixels}, {x.channels}, {_at(x)}'
        return self.product(node, 'pointwise', before, _at(y), room(y))

    def _dense(self, node: Node) -> list[str]:
        x, y = node.inputs[0], node.output
        sizes = (*x.shape, *node.attrs['weight'].shape[2:], *node.attrs['stride'])
        before = f'{", ".join(map(str, sizes))}, a + {x.start}'
        return self.product(node, 'dense', before, _at(y), room(y))

    def _depthwise(self, node: Node) -> list[str]:
        batch, height, width, channels = node.inputs[0].shape
        weight, bias = node.attrs['weight'], node.attrs['bias']
        kernel, border = weight.shape[2:], node.attrs['padding']
        stride = node.attrs['stride']
        if any(one[0] != one[1] for one in (kernel, border, stride)):
            raise ValueError(
                f'{node.source}: depthwise kernels must be square, got {kernel}'
            )
        term, gate = node.attrs['gate'], 'Ungated{}'
        if term is not None:
            factors = f'{term.factors[0]}, {term.factors[1]}'
            gate = f'Gate<{factors}>{{{_at(term.value)}}}'
        self.need(kernel[0] * round_up((width + 2 * border[0]) * channels, 16))
        packed = self.constant(_pack_depthwise(weight, bias, self.lanes))
        kind = f'{kernel[0]}, {channels}, {node.attrs["activation"].upper()}'
        sizes = f'{batch}, {height}, {width}, {border[0]}, {stride[0]}'
        before = f'{sizes}, {_at(node.inputs[0])}, {gate}, {packed}'
        return [f'depthwise<{kind}>({before}, {_at(node.output)}, scratch);']

    def _pool(self, node: Node) -> list[str]:
        batch, height, width, channels = node.inputs[0].shape
        rows, columns = node.attrs['size']
        sizes = f'{batch}, {height}, {width}, {rows}, {columns}'
        maps = f'{_at(node.inputs[0])}, {_at(node.output)}'
        return [f'pool<{channels}>({sizes}, {maps});']

    def _bilinear(self, node: Node) -> list[str]:
        batch, height, width, channels = node.inputs[0].shape
        rows, columns = node.output.shape[1:3]
        self.need(width * channels)
        lines = []
        for name, before, after in (
            ('across', height, rows),
            ('along', width, columns),
        ):
            first, second, share = _between(before, after, node.attrs['corners'])
            for part, numbers in (('first', first), ('second', second)):
                values = ', '.join(map(str, numbers))
                lines.append(f'static const int {name}_{part}[] = {{{values}}};')
            values = ', '.join(f'{s.hex()}f' for s in share)
            lines.append(f'static const float {name}_share[] = {{{values}}};')
            parts = f'{name}_first, {name}_second, {name}_share'
            lines.append(f'const Between {name} = {{{parts}}};')
        maps = f'{_at(node.inputs[0])}, {_at(node.output)}'
        sizes = f'{batch}, {height}, {width}, {rows}, {columns}, across, along'
        added = _added(node, node.attrs['addend'])
        return [*lines, f'bilinear<{channels}>({sizes}, {maps}, {added}, scratch);']

    def _map(self, node: Node) -> list[str]:
        batch, height, width, channels = node.output.shape
        pixel, values = [], []
        for i, term in enumerate(node.attrs['terms']):
            name = f't{i}'
            pixel.append(f'const float* {name} = {_pixel(term)};')
            if term.index is not None:
                known = self.permutations
                call = known.setdefault(term.index, f'permute{len(known)}')
                pixel.append(f'alignas(64) float o{i}[{channels + 16}];')
                pixel.append(f'{call}({name}, o{i});')
                name = f'o{i}'
            value = f'load<L>({name} + n)'
            if term.scale != 1.0:
                value += f' * {float(term.scale).hex()}f'
            values.append(value)
        result = f' {node.attrs["operator"]} '.join(values)
        activation = node.attrs['activation'].upper()
        return [
            f'for (int b = 0; b < {batch}; ++b)',
            f'for (int r = 0; r < {height}; ++r)',
            f'for (int q = 0; q < {width}; ++q) {{',
            *(f'  {line}' for line in pixel),
            f'  float* y = {_pixel(Term(node.output))};',
            f'  channels<{channels}>([&](auto width, int n) {{',
            '    constexpr int L = decltype(width)::value;',
            f'    store<L>(y + n, activate<{activation}, L>({result}));',
            '  });',
            '}',
        ]

    def _axis_gate(self, node: Node) -> list[str]:
        x, y = node.inputs[0], node.output
        batch, height, width, channels = x.shape
        query = node.attrs['query'][0]
        along, across = height, width
        steps = (width * x.stride, x.stride)
        if node.attrs['rows']:
            query = query[:, 0, :].T
        else:
            query = query[:, :, 0].T
            along, across, steps = width, height, steps[::-1]
        image = x.pixels // batch * x.stride
        values = round_up(along * channels, 16)
        self.need(values + across * self.lanes)
        floats = (query, *(node.attrs[name] for name in ('scale', 'shift')))
        placed = [self.constant(one) for one in floats]
        sizes = f'{along}, {across}, {steps[0]}, {steps[1]}'
        means = f'x, {placed[0]}, scratch, scratch + {values}'
        before, after = f'{along}, {channels}, scratch, {channels}', f'y, {y.stride}'
        calls = self.product(node, 'pointwise', before, after, channels)
        eps = float(node.attrs['eps']).hex()
        gate = f'{along}, {after}, {placed[1]}, {placed[2]}, {eps}f'
        return [
            f'for (int b = 0; b < {batch}; ++b) {{',
            f'  const float* x = a + {x.start} + b * {image}L;',
            f'  float* y = a + {y.start} + b * {along * y.stride}L;',
            f'  axis_values<{channels}>({sizes}, {means});',
            *(f'  {call}' for call in calls),
            f'  norm_gate<{channels}>({gate});',
            '}',
        ]


def _between(
    before: int, after: int, corners: bool
) -> tuple[list[int], list[int], list[float]]:
    """First, second and share of the second of rows that each new one lies between.

    ``corners`` lets the outermost pixels' centres coincide, not their edges.
    """
    at = np.arange(after)
    if corners:
        place = at * (before - 1) / max(after - 1, 1)
    else:
        place = np.maximum((at + 0.5) * before / after - 0.5, 0.0)
    low = np.minimum(place.astype(int), before - 1)
    second = np.minimum(low + 1, before - 1)
    return low.tolist(), second.tolist(), (place - low).tolist()


def _vector(wanted: list[int], lanes: int) -> str | None:
    """A vector put together from those of the input; None if of too many."""
    sources = sorted({i // lanes for i in wanted})
    if len(sources) > _STEPS:
        return None
    if len(sources) == 1:
        sources *= 2
    known = sources[:1]
    name = f's{sources[0]}'
    for source in sources[1:]:
        mask = []
        for slot, i in enumerate(wanted):
            if i // lanes == source:
                mask.append(lanes + i % lanes)
            elif i // lanes not in known:
                mask.append(-1)
            else:
                # The first vector is taken from as it lies, later ones by slot.
                mask.append(i % lanes if len(known) == 1 else slot)
        mask += [-1] * (lanes - len(mask))
        slots = ', '.join(map(str, mask))
        name = f'__builtin_shufflevector({name}, s{source}, {slots})'
        known.append(source)
    return name


def permutation(name: str, index: tuple[int, ...], lanes: int) -> str:
    """A function that writes channel ``index[i]`` of a pixel to place i."""
    lines = [
        f'const Vec<{lanes}> s{s} = load<{lanes}>(x + {s * lanes});'
        for s in sorted({i // lanes for i in index})
    ]
    for start in range(0, len(index), lanes):
        wanted = list(index[start : start + lanes])
        made = _vector(wanted, lanes)
        if made is not None:
            lines.append(f'store<{lanes}>(y + {start}, {made});')
        else:
            lines += [f'y[{start + k}] = x[{i}];' for k, i in enumerate(wanted)]
    body = ''.join(f'  {line}\n' for line in lines)
    return f'static INLINE void {name}(const float* x, float* y) {{\n{body}}}\n'


FRAME = """\
// A network compiled by mmpose_lite, which reads the symbols below.
#include "kernels.hpp"

#include "frame.hpp"

WEIGHTS("weights.bin")

{functions}
static void network(const float* image, float* result, float* a, float* scratch) {{
  const float* const w = weights;
{calls}}}

extern "C" {{
EXPORT long long mmpose_lite_native_contract[] = {{{contract}}};

EXPORT void mmpose_lite_native_run(const float* image, float* result, float* arena) {{
  network(image, result, arena, arena + {arena});
}}
}}
"""


def emit(graph: Graph, plan: MemoryPlan, lanes: int) -> tuple[str, bytes]:
    """C++ of a planned network, and its weights as they lie in memory."""
    emitter = Emitter(lanes)
    calls = []
    for node in plan.nodes:
        shapes = ' '.join('x'.join(map(str, v.shape[1:])) for v in node.inputs)
        made = 'x'.join(map(str, node.output.shape[1:]))
        lines = ''.join(f'    {line}\n' for line in emitter.statements(node))
        label = f'{node.kind} | {shapes} -> {made} | {node.source}'
        calls.append(f'  {{  // {label}\n{lines}  }}\n')
    functions = [
        permutation(name, index, lanes) for index, name in emitter.permutations.items()
    ]
    batch, height, width, channels = graph.image.shape
    made = plan.nodes[-1].inputs[0].shape
    # Some are read beyond their last channel, though what is there is not used.
    arena = plan.size + 64
    contract = (
        *(VERSION, lanes, batch, channels, height, width),
        *(made[0], made[3], made[1], made[2]),
        *(arena + emitter.scratch + 64, len(plan.nodes)),
    )
    text = FRAME.format(
        functions=''.join(functions),
        calls=''.join(calls),
        contract=', '.join(map(str, contract)),
        arena=arena,
    )
    # An array of nothing is no array in C++.
    weights = emitter.weights or [np.zeros(ALIGNMENT, np.float32)]
    return text, np.concatenate(weights).astype('<f4').tobytes()
