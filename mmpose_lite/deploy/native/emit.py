"""A planned network as C++ text: a list of calls of kernels."""

from __future__ import annotations

from collections.abc import Callable

from .graph import Graph, Node, Term, Value
from .memory import MemoryPlan, round_up
from .packing import Weights, as_floats, blocks, pack_block, pack_depthwise
from .running import VERSION

_STEPS = 6
"""Vectors from which one is put together at most; else it is copied by channels."""


class Emitter:
    """Writes the calls of a network, for vectors of so many lanes."""

    def __init__(self, plan: MemoryPlan, lanes: int) -> None:
        self.plan = plan
        self.lanes = lanes
        self.weights = Weights()
        self.scratch = 0
        self.permutations: dict[tuple[int, ...], str] = {}

    def at(self, value: Value) -> str:
        """Address of a map and its step."""
        location = self.plan.locations[value]
        return f'a + {location.start}, {location.stride}'

    def start(self, value: Value) -> str:
        """Address of a map."""
        return f'a + {self.plan.locations[value].start}'

    def need(self, floats: int) -> None:
        """Reserve scratch memory of at least so many floats."""
        self.scratch = max(self.scratch, floats)

    def added(self, node: Node, term: Term | None) -> str:
        """What a product is added to."""
        if term is None:
            return 'Nothing{}'
        if term.factors == (1, 1):
            return f'Same{{{self.at(term.value)}}}'
        _, height, width, _ = node.output.shape
        sizes = f'{height}, {width}, {term.factors[0]}, {term.factors[1]}'
        return f'Lifted<{sizes}>{{{self.at(term.value)}}}'

    def permute(self, index: tuple[int, ...]) -> str:
        """Name of the function that reorders the channels of a pixel."""
        return self.permutations.setdefault(index, f'permute{len(self.permutations)}')


def _import(emitter: Emitter, node: Node) -> list[str]:
    batch, height, width, channels = node.inputs[0].shape
    rows, columns = node.attrs.get('padding', (0, 0))
    sizes = f'{batch}, {channels}, {height}, {width}, {rows}, {columns}'
    return [f'import_image({sizes}, image, {emitter.start(node.output)});']


def _export(emitter: Emitter, node: Node) -> list[str]:
    batch, height, width, channels = node.inputs[0].shape
    place = emitter.at(node.inputs[0])
    return [f'export_map({batch}, {channels}, {height * width}, {place}, result);']


def _pad(emitter: Emitter, node: Node) -> list[str]:
    batch, height, width, channels = node.inputs[0].shape
    rows, columns = node.attrs['padding']
    maps = f'{emitter.at(node.inputs[0])}, {emitter.start(node.output)}'
    sizes = f'{batch}, {height}, {width}, {rows}, {columns}'
    return [f'pad<{channels}>({sizes}, {maps});']


def _product(
    emitter: Emitter, node: Node, call: str, before: str, after: str, width: int
) -> list[str]:
    """A call for each block of ``width`` output channels."""
    weight, bias = as_floats(node.attrs['weight']), as_floats(node.attrs['bias'])
    activation = node.attrs.get('activation', 'none').upper()
    added = emitter.added(node, node.attrs.get('residual'))
    lines = []
    for block in blocks(width, emitter.lanes):
        packed = emitter.weights.add(pack_block(weight, bias, block))
        tile = f'{block.lanes}, {block.pixels}, {block.vectors}, {activation}'
        lines.append(
            f'{call}<{tile}>({before}, w + {packed}, {after}, {added}, '
            f'{block.channel});'
        )
    return lines


def _pointwise(emitter: Emitter, node: Node) -> list[str]:
    x, y = node.inputs[0], node.output
    before = f'{x.pixels}, {x.channels}, {emitter.at(x)}'
    room = emitter.plan.room(y)
    return _product(emitter, node, 'pointwise', before, emitter.at(y), room)


def _dense(emitter: Emitter, node: Node) -> list[str]:
    x, y = node.inputs[0], node.output
    sizes = (*x.shape, *node.attrs['weight'].shape[2:], *node.attrs['stride'])
    before = f'{", ".join(map(str, sizes))}, {emitter.start(x)}'
    room = emitter.plan.room(y)
    return _product(emitter, node, 'dense', before, emitter.at(y), room)


def _depthwise(emitter: Emitter, node: Node) -> list[str]:
    batch, height, width, channels = node.inputs[0].shape
    weight, bias = as_floats(node.attrs['weight']), as_floats(node.attrs['bias'])
    kernel, border = weight.shape[2:], node.attrs['padding']
    stride = node.attrs['stride']
    if kernel[0] != kernel[1] or border[0] != border[1] or stride[0] != stride[1]:
        raise ValueError(
            f'{node.source}: depthwise kernels must be square, got {kernel}'
        )
    term, gate = node.attrs['gate'], 'Ungated{}'
    if term is not None:
        factors = f'{term.factors[0]}, {term.factors[1]}'
        gate = f'Gate<{factors}>{{{emitter.at(term.value)}}}'
    row = round_up((width + 2 * border[0]) * channels, 16)
    emitter.need(kernel[0] * row)
    packed = emitter.weights.add(pack_depthwise(weight, bias, emitter.lanes))
    activation = node.attrs['activation'].upper()
    return [
        f'depthwise<{kernel[0]}, {channels}, {activation}>({batch}, {height}, {width}, '
        f'{border[0]}, {stride[0]}, {emitter.at(node.inputs[0])}, {gate}, '
        f'w + {packed}, {emitter.at(node.output)}, scratch);'
    ]


def _pool(emitter: Emitter, node: Node) -> list[str]:
    batch, height, width, channels = node.inputs[0].shape
    rows, columns = node.attrs['size']
    maps = f'{emitter.at(node.inputs[0])}, {emitter.at(node.output)}'
    return [f'pool<{channels}>({batch}, {height}, {width}, {rows}, {columns}, {maps});']


def _between(
    before: int, after: int, corners: bool
) -> tuple[list[int], list[int], list[float]]:
    """The two rows (or columns) that each of ``after`` lies between, of ``before``.

    ``corners`` lets the outermost pixels' centres coincide, not their edges.

    Returns:
        The first, the second, and the share of the second.
    """
    first, second, share = [], [], []
    for i in range(after):
        if corners:
            at = i * (before - 1) / (after - 1) if after > 1 else 0.0
        else:
            at = max((i + 0.5) * before / after - 0.5, 0.0)
        low = min(int(at), before - 1)
        first.append(low)
        second.append(min(low + 1, before - 1))
        share.append(at - low)
    return first, second, share


def _bilinear(emitter: Emitter, node: Node) -> list[str]:
    batch, height, width, channels = node.inputs[0].shape
    rows, columns = node.output.shape[1:3]
    emitter.need(width * channels)
    lines = []
    for name, before, after in (('across', height, rows), ('along', width, columns)):
        first, second, share = _between(before, after, node.attrs['corners'])
        for part, numbers in (('first', first), ('second', second)):
            values = ', '.join(map(str, numbers))
            lines.append(f'static const int {name}_{part}[] = {{{values}}};')
        values = ', '.join(f'{float(s).hex()}f' for s in share)
        lines.append(f'static const float {name}_share[] = {{{values}}};')
        parts = f'{name}_first, {name}_second, {name}_share'
        lines.append(f'const Between {name} = {{{parts}}};')
    maps = f'{emitter.at(node.inputs[0])}, {emitter.at(node.output)}'
    sizes = f'{batch}, {height}, {width}, {rows}, {columns}'
    added = emitter.added(node, node.attrs['addend'])
    call = f'bilinear<{channels}>({sizes}, across, along, {maps}, {added}, scratch);'
    return [*lines, call]


def _address(emitter: Emitter, term: Term) -> str:
    """Pixel of a term for pixel (b, r, q) of the result."""
    _, height, width, _ = term.value.shape
    rows, columns = term.factors
    row = f'r / {rows}' if rows > 1 else 'r'
    column = f'q / {columns}' if columns > 1 else 'q'
    step = emitter.plan.locations[term.value].stride
    return (
        f'{emitter.start(term.value)} + ((b * {height} + {row}) * {width} + {column}) '
        f'* {step}L'
    )


def _map(emitter: Emitter, node: Node) -> list[str]:
    batch, height, width, channels = node.output.shape
    pixel, values = [], []
    for i, term in enumerate(node.attrs['terms']):
        name = f't{i}'
        pixel.append(f'const float* {name} = {_address(emitter, term)};')
        if term.index is not None:
            pixel.append(f'alignas(64) float o{i}[{channels + 16}];')
            pixel.append(f'{emitter.permute(term.index)}({name}, o{i});')
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
        f'  float* y = {_address(emitter, Term(node.output))};',
        f'  channels<{channels}>([&](auto width, int n) {{',
        '    constexpr int L = decltype(width)::value;',
        f'    store<L>(y + n, activate<{activation}, L>({result}));',
        '  });',
        '}',
    ]


def _axis_gate(emitter: Emitter, node: Node) -> list[str]:
    x, output = node.inputs[0], node.output
    batch, height, width, channels = x.shape
    place, out = emitter.plan.locations[x], emitter.plan.locations[output]
    rows = node.attrs['rows']
    along, across = (height, width) if rows else (width, height)
    steps = (width * place.stride, place.stride)
    steps = steps if rows else steps[::-1]
    query = as_floats(node.attrs['query'])[0]
    query = (query[:, 0, :] if rows else query[:, :, 0]).T
    values = round_up(along * channels, 16)
    emitter.need(values + across * emitter.lanes)
    add = emitter.weights.add
    placed = [add(query)]
    placed += [add(as_floats(node.attrs[name])) for name in ('scale', 'shift')]
    lines = [
        f'axis_values<{channels}>({along}, {across}, {steps[0]}, {steps[1]}, x, '
        f'w + {placed[0]}, scratch, scratch + {values});'
    ]
    before, after = f'{along}, {channels}, scratch, {channels}', f'y, {out.stride}'
    lines += _product(emitter, node, 'pointwise', before, after, channels)
    eps = float(node.attrs['eps']).hex()
    lines.append(
        f'norm_gate<{channels}>({along}, y, {out.stride}, w + {placed[1]}, '
        f'w + {placed[2]}, {eps}f);'
    )
    maps = (
        f'const float* x = {emitter.start(x)} + b * {height * width * place.stride}L;',
        f'float* y = {emitter.start(output)} + b * {along * out.stride}L;',
    )
    body = [f'  {line}' for line in (*maps, *lines)]
    return [f'for (int b = 0; b < {batch}; ++b) {{', *body, '}']


EMITTERS: dict[str, Callable[[Emitter, Node], list[str]]] = {
    'import': _import,
    'export': _export,
    'pad': _pad,
    'pointwise': _pointwise,
    'dense': _dense,
    'depthwise': _depthwise,
    'pool': _pool,
    'bilinear': _bilinear,
    'map': _map,
    'axis_gate': _axis_gate,
}
"""Kind of operation to what writes its statements."""


def _vector(wanted: list[int], lanes: int) -> list[str]:
    """Statements that put a vector together from those of the input."""
    sources = sorted({i // lanes for i in wanted})
    if len(sources) > _STEPS:
        return []
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
        name = (
            f'__builtin_shufflevector({name}, s{source}, {", ".join(map(str, mask))})'
        )
        known.append(source)
    return [name]


def permutation(name: str, index: tuple[int, ...], lanes: int) -> str:
    """A function that writes channel ``index[i]`` of a pixel to place i."""
    lines = [
        f'const Vec<{lanes}> s{s} = load<{lanes}>(x + {s * lanes});'
        for s in sorted({i // lanes for i in index})
    ]
    for start in range(0, len(index), lanes):
        wanted = list(index[start : start + lanes])
        made = _vector(wanted, lanes)
        if made:
            lines.append(f'store<{lanes}>(y + {start}, {made[0]});')
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
EXPORT const char* mmpose_lite_native_names[] = {{{names}}};

EXPORT void mmpose_lite_native_run(const float* image, float* result, float* arena) {{
  network(image, result, arena, arena + {arena});
}}
}}
"""


def _label(node: Node) -> str:
    """Kind, shapes and module of an operation."""
    shapes = ' '.join('x'.join(map(str, v.shape[1:])) for v in node.inputs)
    made = 'x'.join(map(str, node.output.shape[1:]))
    return f'{node.kind} | {shapes} -> {made} | {node.source}'


def emit(graph: Graph, plan: MemoryPlan, lanes: int) -> tuple[str, bytes]:
    """C++ of a planned network, and its weights as they lie in memory."""
    emitter = Emitter(plan, lanes)
    calls, names = [], []
    for number, node in enumerate(plan.nodes):
        names.append(_label(node))
        lines = ''.join(f'    {line}\n' for line in EMITTERS[node.kind](emitter, node))
        calls.append(f'  {{  // {names[-1]}\n    TIMED({number})\n{lines}  }}\n')
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
        *(arena + emitter.scratch + 64, len(names)),
    )
    text = FRAME.format(
        functions=''.join(functions),
        calls=''.join(calls),
        contract=', '.join(map(str, contract)),
        names=', '.join(f'"{name}"' for name in names),
        arena=arena,
    )
    return text, emitter.weights.contents()
