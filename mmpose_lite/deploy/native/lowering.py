"""From a module to operations on maps with channels last, by ``torch.export``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx, nn

from .attention import mark_attention
from .graph import Graph, Node, Shape, Term, Value

ACTIVATIONS = {
    'relu': 'relu',
    'sigmoid': 'sigmoid',
    'silu': 'silu',
    'hardswish': 'hardswish',
    'hardsigmoid': 'hardsigmoid',
}
"""ATen operator to the activation of the same values."""

Handler = Callable[['Lowering', fx.Node], Any]
HANDLERS: dict[str, Handler] = {}
"""ATen operator to what lowers it."""


def lowers(*names: str) -> Callable[[Handler], Handler]:
    """Register what lowers these operators."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


class Lowering:
    """A graph in the making.

    Args:
        program: The exported network.
    """

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self.nodes: list[Node] = []
        self.source = ''
        self.known: dict[fx.Node, Any] = {}
        signature = program.graph_signature
        constants = {**program.state_dict, **program.constants}
        self.constants = {
            name: constants[target]
            for table in (
                signature.inputs_to_parameters,
                signature.inputs_to_buffers,
                signature.inputs_to_lifted_tensor_constants,
            )
            for name, target in table.items()
        }

    def get(self, argument: Any) -> Any:
        """A map, a constant tensor, or the argument itself."""
        if not isinstance(argument, fx.Node):
            return argument
        if argument.name in self.constants:
            return self.constants[argument.name]
        return self.known[argument]

    def value(self, argument: Any) -> Value:
        """A map that an operator reads."""
        found = self.get(argument)
        if not isinstance(found, Value):
            self.refuse(f'reads {argument}, which is no map')
        return found

    def refuse(self, what: str) -> None:
        """Say that an operator is used as none of ours can be."""
        raise ValueError(f'{self.source}: {what}')

    def add(self, kind: str, inputs: list[Value], shape: Shape, **attrs: Any) -> Value:
        """Append an operation; returns what it writes."""
        output = Value(shape)
        output.node = Node(kind, inputs, output, self.source, attrs)
        self.nodes.append(output.node)
        return output

    def cut(self, x: Value, start: int, stop: int) -> Value:
        """A run of channels, of what lies below views if it can be."""
        if (start, stop) == (0, x.channels):
            return x
        node = x.node
        if node is not None and node.kind == 'slice':
            start, stop = start + node.attrs['start'], stop + node.attrs['start']
            return self.cut(node.inputs[0], start, stop)
        if node is not None and node.kind == 'map' and self.is_lift(node):
            term = node.attrs['terms'][0]
            part = self.cut(term.value, start, stop)
            return self.map([Term(part, 1.0, term.factors)], x.shape[:3])
        shape = (*x.shape[:3], stop - start)
        return self.add('slice', [x], shape, start=start)

    def is_lift(self, node: Node) -> bool:
        """Whether an operation up-samples and does nothing else."""
        terms = node.attrs['terms']
        return (
            len(terms) == 1
            and terms[0].factors != (1, 1)
            and terms[0].index is None
            and node.attrs['activation'] == 'none'
        )

    def map(
        self, terms: list[Term], size: Sequence[int], operator: str = '+', **attrs: Any
    ) -> Value:
        """Sum or product of maps, element by element."""
        first = terms[0]
        channels = first.value.channels if first.index is None else len(first.index)
        attrs = dict(activation='none', **attrs)
        return self.add(
            'map',
            [term.value for term in terms],
            (size[0], size[1], size[2], channels),
            terms=terms,
            operator=operator,
            **attrs,
        )


def _channel_axis(lowering: Lowering, node: fx.Node, axis: int) -> None:
    rank = len(node.args[0].meta['val'].shape)  # type: ignore[union-attr]
    if axis % rank != 1:
        lowering.refuse(f'{node.target} along axis {axis}, only channels can be')


@lowers('conv2d')
def _conv(lowering: Lowering, node: fx.Node) -> Value:
    x = lowering.value(node.args[0])
    weight, bias, stride, padding, dilation, groups = (
        lowering.get(a)
        for a in (
            *node.args[1:],
            *(None, [1, 1], [0, 0], [1, 1], 1)[len(node.args) - 2 :],
        )
    )
    out, _, kh, kw = weight.shape
    if list(dilation) != [1, 1] or isinstance(padding, str):
        lowering.refuse(f'a convolution with dilation {dilation}, padding {padding!r}')
    if groups not in (1, x.channels) or (groups > 1 and out != groups):
        lowering.refuse(
            f'a convolution of {x.channels} to {out} channels in {groups} groups; '
            'there must be one group, or one per channel'
        )
    bias = weight.new_zeros(out) if bias is None else bias
    batch, height, width, _ = x.shape
    shape = (
        batch,
        (height + 2 * padding[0] - kh) // stride[0] + 1,
        (width + 2 * padding[1] - kw) // stride[1] + 1,
        out,
    )
    attrs = dict(weight=weight, bias=bias, activation='none')
    if groups > 1:
        attrs.update(stride=tuple(stride), padding=tuple(padding), gate=None)
        return lowering.add('depthwise', [x], shape, **attrs)
    attrs.update(residual=None)
    if (kh, kw) == (1, 1) and tuple(stride) == (1, 1) and tuple(padding) == (0, 0):
        return lowering.add('pointwise', [x], shape, **attrs)
    ph, pw = padding
    padded = (batch, height + 2 * ph, width + 2 * pw, x.channels)
    x = lowering.add('pad', [x], padded, padding=(ph, pw))
    return lowering.add('dense', [x], shape, stride=tuple(stride), **attrs)


@lowers('linear')
def _linear(lowering: Lowering, node: fx.Node) -> Value:
    x = lowering.value(node.args[0])
    if len(node.meta['val'].shape) != 2:
        lowering.refuse('a linear layer of more than a vector per image')
    weight = lowering.get(node.args[1])[:, :, None, None]
    bias = lowering.get(node.args[2]) if len(node.args) > 2 else None
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    return lowering.add(
        'pointwise',
        [x],
        (*x.shape[:3], len(weight)),
        weight=weight,
        bias=bias,
        activation='none',
        residual=None,
    )


@lowers(*ACTIVATIONS)
def _activation(lowering: Lowering, node: fx.Node) -> Value:
    x = lowering.value(node.args[0])
    name = ACTIVATIONS[_name(node)]
    out = lowering.map([Term(x)], x.shape)
    assert out.node is not None
    out.node.attrs['activation'] = name
    return out


@lowers('hardtanh')
def _clip(lowering: Lowering, node: fx.Node) -> Value:
    if tuple(node.args[1:]) != (0.0, 6.0):
        lowering.refuse(f'values clipped to {node.args[1:]}, only 0 to 6 can be')
    x = lowering.value(node.args[0])
    out = lowering.map([Term(x)], x.shape)
    assert out.node is not None
    out.node.attrs['activation'] = 'relu6'
    return out


@lowers('slice')
def _slice(lowering: Lowering, node: fx.Node) -> Value | None:
    x, axis, start, stop, step = (*node.args, *(0, None, None, 1)[len(node.args) - 1 :])
    x = lowering.value(x)
    begin, end, _ = slice(start, stop).indices(node.args[0].meta['val'].shape[axis])
    if axis % len(node.meta['val'].shape) != 1 or step != 1:
        whole = (begin, end, step) == (0, node.args[0].meta['val'].shape[axis], 1)
        if not whole:
            lowering.refuse(f'a slice along axis {axis}, only channels can be')
        return x
    return lowering.cut(x, begin, end) if end > begin else None


@lowers('split_with_sizes', 'split')
def _split(lowering: Lowering, node: fx.Node) -> list[Value]:
    _channel_axis(lowering, node, node.args[2] if len(node.args) > 2 else 0)
    x, pieces, start = lowering.value(node.args[0]), [], 0
    for part in node.meta['val']:
        pieces.append(lowering.cut(x, start, start + part.shape[1]))
        start += part.shape[1]
    return pieces


@lowers('getitem')
def _item(lowering: Lowering, node: fx.Node) -> Value:
    return lowering.get(node.args[0])[node.args[1]]


@lowers('cat')
def _cat(lowering: Lowering, node: fx.Node) -> Value:
    axis = node.args[1] if len(node.args) > 1 else 0
    if axis % len(node.meta['val'].shape) != 1:
        lowering.refuse(f'maps joined along axis {axis}, only channels can be')
    parts = [part for part in map(lowering.get, node.args[0]) if part is not None]
    if len(parts) == 1:
        return parts[0]
    shape = (*parts[0].shape[:3], sum(part.channels for part in parts))
    return lowering.add('cat', parts, shape)


@lowers('avg_pool2d')
def _pool(lowering: Lowering, node: fx.Node) -> Value:
    x, size, *rest = node.args
    x = lowering.value(x)
    if rest and (rest[0] not in ([], size) or any(rest[1:])):
        lowering.refuse(f'pooling with {node.args[1:]}: windows must lie side by side')
    batch, height, width, channels = x.shape
    shape = (batch, height // size[0], width // size[1], channels)
    return lowering.add('pool', [x], shape, size=tuple(size))


@lowers('mean')
def _mean(lowering: Lowering, node: fx.Node) -> Value:
    x = lowering.value(node.args[0])
    axes = node.args[1] if len(node.args) > 1 else None
    if axes is None or sorted(a % 4 for a in axes) != [2, 3]:
        lowering.refuse(f'a mean over axes {axes}, only height and width can be')
    size = x.shape[1:3]
    return lowering.add('pool', [x], (x.shape[0], 1, 1, x.channels), size=size)


@lowers('adaptive_avg_pool2d')
def _adaptive(lowering: Lowering, node: fx.Node) -> Value:
    x = lowering.value(node.args[0])
    height, width = node.meta['val'].shape[2:]
    if x.shape[1] % height or x.shape[2] % width:
        lowering.refuse(f'adaptive pooling of {x.shape[1:3]} to {(height, width)}')
    size = (x.shape[1] // height, x.shape[2] // width)
    return lowering.add('pool', [x], (x.shape[0], height, width, x.channels), size=size)


@lowers('unsqueeze', 'squeeze', 'view', 'reshape', 'flatten')
def _vector(lowering: Lowering, node: fx.Node) -> Value:
    x = lowering.value(node.args[0])
    if x.shape[1:3] != (1, 1) or node.meta['val'].numel() != x.pixels * x.channels:
        lowering.refuse(f'{node.target} of a map with {x.shape[1:3]} pixels')
    if node.meta['val'].shape[:2] != (x.shape[0], x.channels):
        lowering.refuse(f'{node.target} that moves channels')
    return x


@lowers('alias', 'clone', 'contiguous', 'dropout')
def _same(lowering: Lowering, node: fx.Node) -> Value:
    return lowering.value(node.args[0])


@lowers('upsample_nearest2d')
def _nearest(lowering: Lowering, node: fx.Node) -> Value:
    x = lowering.value(node.args[0])
    height, width = node.meta['val'].shape[2:]
    if height % x.shape[1] or width % x.shape[2]:
        lowering.refuse(f'up-sampling of {x.shape[1:3]} to {(height, width)}')
    factors = (height // x.shape[1], width // x.shape[2])
    return lowering.map([Term(x, 1.0, factors)], (x.shape[0], height, width))


@lowers('upsample_bilinear2d')
def _bilinear(lowering: Lowering, node: fx.Node) -> Value:
    x = lowering.value(node.args[0])
    height, width = node.meta['val'].shape[2:]
    return lowering.add(
        'bilinear',
        [x],
        (x.shape[0], height, width, x.channels),
        corners=bool(node.args[2]),
        addend=None,
    )


@lowers('index_select')
def _select(lowering: Lowering, node: fx.Node) -> Value:
    _channel_axis(lowering, node, node.args[1])  # type: ignore[arg-type]
    x, index = lowering.value(node.args[0]), lowering.get(node.args[2])
    order = tuple(int(i) for i in index)
    return lowering.map([Term(x, index=order)], x.shape)


def _factors(x: Value, size: Sequence[int]) -> tuple[int, int] | None:
    """Rows and columns that share a pixel of a map that is broadcast."""
    if x.shape[1] not in (1, size[1]) or x.shape[2] not in (1, size[2]):
        return None
    return size[1] // x.shape[1], size[2] // x.shape[2]


@lowers('add', 'mul', 'sub')
def _binary(lowering: Lowering, node: fx.Node) -> Value:
    name = _name(node)
    a, b = lowering.get(node.args[0]), lowering.get(node.args[1])
    if not isinstance(a, Value) or not isinstance(b, Value) or a.channels != b.channels:
        lowering.refuse(f'{node.target} of {node.args}, only maps as wide can be')
    shape = node.meta['val'].shape
    size = (shape[0], shape[2], shape[3]) if len(shape) == 4 else (shape[0], 1, 1)
    alpha = float(node.kwargs.get('alpha', 1.0)) * (-1.0 if name == 'sub' else 1.0)
    factors = [_factors(x, size) for x in (a, b)]
    if None in factors or a.shape[0] != b.shape[0]:
        lowering.refuse(f'{node.target} of maps {a.shape} and {b.shape}')
    terms = [Term(a, 1.0, factors[0]), Term(b, alpha, factors[1])]
    return lowering.map(terms, size, '*' if name == 'mul' else '+')


@lowers('axis_gate')
def _axis_gate(lowering: Lowering, node: fx.Node) -> Value:
    x = lowering.value(node.args[0])
    names = ('query', 'weight', 'bias', 'scale', 'shift')
    attrs = {n: lowering.get(a) for n, a in zip(names, node.args[1:6], strict=True)}
    eps, rows = node.args[6:]
    batch, height, width, channels = x.shape
    shape = (batch, height, 1, channels) if rows else (batch, 1, width, channels)
    return lowering.add('axis_gate', [x], shape, eps=eps, rows=rows, **attrs)


def _name(node: fx.Node) -> str:
    """Name of the operator that a node calls, without namespace and overload."""
    target = node.target
    packet = getattr(target, 'overloadpacket', target)
    return getattr(packet, '__name__', str(packet)).removesuffix('_')


def _source(node: fx.Node) -> str:
    """Path of the module that a node comes from."""
    stack = node.meta.get('nn_module_stack')
    return (list(stack.values())[-1][0] if stack else '') or 'network'


def _run(lowering: Lowering, program: torch.export.ExportedProgram) -> Graph:
    """Lower every call of an exported network."""
    image = None
    for node in program.graph.nodes:
        if node.op == 'placeholder' and node.name not in lowering.constants:
            batch, channels, height, width = node.meta['val'].shape
            image = Value((batch, height, width, channels))
            lowering.known[node] = lowering.add('import', [image], image.shape)
        elif node.op == 'call_function':
            lowering.source = _source(node)
            handler = HANDLERS.get(_name(node))
            if handler is None:
                raise ValueError(
                    f'network must consist of operators that can be compiled, got '
                    f'{node.target} in {lowering.source}'
                )
            lowering.known[node] = handler(lowering, node)
        elif node.op == 'output':
            outputs = [lowering.get(a) for a in node.args[0]]
    if image is None or len(outputs) != 1:
        raise ValueError(f'network must give one map, got {len(outputs)}')
    lowering.source = 'network'
    lowering.add('export', outputs, outputs[0].shape)
    return Graph(image, lowering.nodes)


def lower(network: nn.Module, image_size: tuple[int, int], batch: int = 1) -> Graph:
    """What a network computes from a batch of images.

    Args:
        network: Gives one map ``(B, C, h, w)``, alone or in a tuple.
        image_size: Height and width of the images.
        batch: Number of images.

    Raises:
        ValueError: If it uses an operator that is not known, or one as it cannot be
            computed here; the message names it and its module.
    """
    example = torch.zeros(batch, 3, *image_size)
    with torch.no_grad(), warnings.catch_warnings():
        # Of torch's own making, when it copies what it has traced.
        warnings.filterwarnings('ignore', '.*LeafSpec.*', FutureWarning)
        # Not strict, which newer versions of torch are by themselves: the strict form
        # keeps a few networks of a class in its cache and refuses more.
        program = torch.export.export(mark_attention(network), (example,), strict=False)
        program = program.run_decompositions({})
    return _run(Lowering(program), program)
