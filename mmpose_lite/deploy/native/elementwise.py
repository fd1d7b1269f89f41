"""Loops of element-wise operations, and permutations of channels within a pixel."""

from __future__ import annotations

from .graph import Node, Term
from .memory import Location

Operand = tuple[Term, Location, str | None]
"""A term, where it lies, and what reorders its channels."""

_STEPS = 6
"""Vectors from which one is put together at most; else it is copied by channels."""


def _address(term: Term, location: Location) -> str:
    """Pixel of a term for pixel (b, r, q) of the result."""
    _, height, width, _ = term.value.shape
    rows, columns = term.factors
    row = f'r / {rows}' if rows > 1 else 'r'
    column = f'q / {columns}' if columns > 1 else 'q'
    return (
        f'a + {location.start} + ((b * {height} + {row}) * {width} + {column}) '
        f'* {location.stride}L'
    )


def element_loop(node: Node, operands: list[Operand], output: Location) -> list[str]:
    """Statements of a sum or product of maps."""
    batch, height, width, channels = node.output.shape
    pixel, values = [], []
    for i, (term, location, reorder) in enumerate(operands):
        name = f't{i}'
        pixel.append(f'const float* {name} = {_address(term, location)};')
        if reorder is not None:
            pixel.append(f'alignas(64) float o{i}[{channels + 16}];')
            pixel.append(f'{reorder}({name}, o{i});')
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
        f'  float* y = a + {output.start} + ((b * {height} + r) * {width} + q) '
        f'* {output.stride}L;',
        f'  channels<{channels}>([&](auto width, int n) {{',
        '    constexpr int L = decltype(width)::value;',
        f'    store<L>(y + n, activate<{activation}, L>({result}));',
        '  });',
        '}',
    ]


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
