"""From a module to operations on maps with channels last, by ``torch.export``."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from ..passes.attention import AxisAttention
from ..passes.modules import replace_modules, take_over
from .graph import Graph, Node, Shape, Term, Value, combined


class Lowering:
    """A graph in the making, of an exported network.

    What an ATen operator becomes is in the method of its name with ``_op_`` before it,
    which is given the call and the operator's own arguments, maps as values.
    """

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self.nodes: list[Node] = []
        self.source = ''
        signature = program.graph_signature
        constants = {**program.state_dict, **program.constants}
        # By name what is constant, by what calls it what was lowered.
        self.known: dict[Any, Any] = {
            name: constants[target].detach().cpu().numpy()
            for table in (
                signature.inputs_to_parameters,
                signature.inputs_to_buffers,
                signature.inputs_to_lifted_tensor_constants,
            )
            for name, target in table.items()
        }

    def get(self, argument: Any) -> Any:
        """A map, a constant array, or the argument itself."""
        if isinstance(argument, (list, tuple)):
            return [self.get(one) for one in argument]
        return self.known[argument.name] if isinstance(argument, fx.Node) else argument

    def call(self, node: fx.Node) -> Any:
        """What an operator returns, with the defaults of arguments not given."""
        # Path of the module that it comes from.
        stack = node.meta.get('nn_module_stack')
        self.source = (list(stack.values())[-1][0] if stack else '') or 'network'
        handler = getattr(self, f'_op_{_name(node)}', None)
        if handler is None:
            raise ValueError(
                f'network must consist of operators that can be compiled, got '
                f'{node.target} in {self.source}'
            )
        given = list(node.args)
        schema = getattr(node.target, '_schema', None)
        for argument in schema.arguments[len(given) :] if schema else ():
            given.append(node.kwargs.get(argument.name, argument.default_value))
        arguments = self.get(given)
        if not isinstance(arguments[0], (Value, list)):
            self.refuse(f'reads {node.args[0]}, which is no map')
        return handler(node, *arguments)

    def refuse(self, what: str) -> None:
        """Raise that an operator is used in a way that cannot be compiled."""
        raise ValueError(f'{self.source}: {what}')

    def only_channels(self, node: fx.Node, axis: int) -> None:
        """Refuse what is done along another axis."""
        if axis % len(_shape(node)) != 1:
            self.refuse(f'{node.target} along axis {axis}, only channels can be')

    def add(self, kind: str, inputs: list[Value], shape: Shape, **attrs: Any) -> Value:
        """Append an operation, and return what it writes."""
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
        if node is not None and node.kind == 'map' and _is_lift(node):
            term = node.attrs['terms'][0]
            part = self.cut(term.value, start, stop)
            return self.map([Term(part, 1.0, term.factors)], x.shape[:3])
        shape = (*x.shape[:3], stop - start)
        return self.add('slice', [x], shape, start=start)

    def pool(self, x: Value, size: Sequence[int]) -> Value:
        """Means of windows that lie side by side."""
        batch, height, width, channels = x.shape
        shape = (batch, height // size[0], width // size[1], channels)
        return self.add('pool', [x], shape, size=tuple(size))

    def map(self, terms: list[Term], size: Sequence[int], **options: str) -> Value:
        """Sum or product of maps; ``options`` are of :func:`combined`."""
        first = terms[0]
        channels = first.value.channels if first.index is None else len(first.index)
        shape = (size[0], size[1], size[2], channels)
        self.nodes.append(combined(terms, shape, self.source, **options))
        return self.nodes[-1].output

    def _op_conv2d(self, node, x, weight, bias, stride, padding, dilation, groups):
        out, _, kh, kw = weight.shape
        if list(dilation) != [1, 1] or isinstance(padding, str):
            self.refuse(f'a convolution with dilation {dilation}, padding {padding!r}')
        if groups not in (1, x.channels) or (groups > 1 and out != groups):
            self.refuse(
                f'a convolution of {x.channels} to {out} channels in {groups} groups; '
                'there must be one group, or one per channel'
            )
        bias = np.zeros(out, np.float32) if bias is None else bias
        batch, height, width, _ = x.shape
        ph, pw = padding
        rows = (height + 2 * ph - kh) // stride[0] + 1
        columns = (width + 2 * pw - kw) // stride[1] + 1
        shape, stride = (batch, rows, columns, out), tuple(stride)
        attrs = dict(weight=weight, bias=bias, activation='none')
        if groups > 1:
            attrs.update(stride=stride, padding=(ph, pw), gate=None)
            return self.add('depthwise', [x], shape, **attrs)
        attrs.update(residual=None)
        if (kh, kw, *stride, ph, pw) == (1, 1, 1, 1, 0, 0):
            return self.add('pointwise', [x], shape, **attrs)
        padded = (batch, height + 2 * ph, width + 2 * pw, x.channels)
        x = self.add('pad', [x], padded, padding=(ph, pw))
        return self.add('dense', [x], shape, stride=stride, **attrs)

    def _op_linear(self, node, x, weight, bias):
        if len(_shape(node)) != 2:
            self.refuse('a linear layer of more than a vector per image')
        bias = np.zeros(len(weight), np.float32) if bias is None else bias
        attrs = dict(weight=weight[:, :, None, None], bias=bias)
        attrs.update(activation='none', residual=None)
        return self.add('pointwise', [x], (*x.shape[:3], len(weight)), **attrs)

    def _activation(self, node, x):
        return self.map([Term(x)], x.shape, activation=_name(node))

    _op_relu = _op_sigmoid = _op_silu = _op_hardswish = _op_hardsigmoid = _activation

    def _op_hardtanh(self, node, x, low, high):
        if (low, high) != (0.0, 6.0):
            self.refuse(f'values clipped to {(low, high)}, only 0 to 6 can be')
        return self.map([Term(x)], x.shape, activation='relu6')

    def _op_slice(self, node, x, axis, start, stop, step):
        size = _shape(node.args[0])[axis]
        begin, end, _ = slice(start, stop).indices(size)
        if (begin, end, step) == (0, size, 1):
            return x
        self.only_channels(node, axis)
        if step != 1:
            self.refuse(f'a slice of every {step}th channel')
        return self.cut(x, begin, end) if end > begin else None

    def _split(self, node, x, sizes, axis):
        self.only_channels(node.args[0], axis)
        widths = [part.shape[1] for part in node.meta['val']]
        ends = itertools.accumulate(widths, initial=0)
        return [self.cut(x, *run) for run in itertools.pairwise(ends)]

    _op_split_with_sizes = _op_split = _split

    def _op_getitem(self, node, parts, index):
        return parts[index]

    def _op_cat(self, node, parts, axis):
        self.only_channels(node, axis)
        parts = [part for part in parts if part is not None]
        if len(parts) == 1:
            return parts[0]
        shape = (*parts[0].shape[:3], sum(part.channels for part in parts))
        return self.add('cat', parts, shape)

    def _op_avg_pool2d(self, node, x, size, stride, padding, ceil, *rest):
        if stride not in ([], size) or any(padding) or ceil or rest[-1] is not None:
            self.refuse(f'pooling with {node.args[1:]}: windows must lie side by side')
        return self.pool(x, size)

    def _op_mean(self, node, x, axes, *_):
        if axes is None or sorted(a % 4 for a in axes) != [2, 3]:
            self.refuse(f'a mean over axes {axes}, only height and width can be')
        return self.pool(x, x.shape[1:3])

    def _op_adaptive_avg_pool2d(self, node, x, _):
        height, width = _shape(node)[2:]
        if x.shape[1] % height or x.shape[2] % width:
            self.refuse(f'adaptive pooling of {x.shape[1:3]} to {(height, width)}')
        return self.pool(x, (x.shape[1] // height, x.shape[2] // width))

    def _vector(self, node, x, *_):
        if x.shape[1:3] != (1, 1) or node.meta['val'].numel() != x.pixels * x.channels:
            self.refuse(f'{node.target} of a map with {x.shape[1:3]} pixels')
        if _shape(node)[:2] != (x.shape[0], x.channels):
            self.refuse(f'{node.target} that moves channels')
        return x

    _op_unsqueeze = _op_squeeze = _op_view = _op_reshape = _op_flatten = _vector

    def _same(self, node, x, *_):
        return x

    _op_alias = _op_clone = _op_contiguous = _op_dropout = _same

    def _op_upsample_nearest2d(self, node, x, *_):
        height, width = _shape(node)[2:]
        if height % x.shape[1] or width % x.shape[2]:
            self.refuse(f'up-sampling of {x.shape[1:3]} to {(height, width)}')
        factors = (height // x.shape[1], width // x.shape[2])
        return self.map([Term(x, 1.0, factors)], (x.shape[0], height, width))

    def _op_upsample_bilinear2d(self, node, x, size, corners, *_):
        shape = (x.shape[0], *_shape(node)[2:], x.channels)
        return self.add('bilinear', [x], shape, corners=bool(corners), addend=None)

    def _op_index_select(self, node, x, axis, index):
        self.only_channels(node, axis)
        return self.map([Term(x, index=tuple(int(i) for i in index))], x.shape)

    def _binary(self, node, a, b, alpha=1):
        if not isinstance(b, Value) or a.channels != b.channels:
            self.refuse(f'{node.target} of {node.args}, only maps as wide can be')
        shape = _shape(node)
        size = (shape[0], *(shape[2:] or (1, 1)))
        # Rows and columns that share a pixel of a map that is broadcast.
        factors = [(size[1] // x.shape[1], size[2] // x.shape[2]) for x in (a, b)]
        for x in (a, b):
            whole = x.shape[1] in (1, size[1]) and x.shape[2] in (1, size[2])
            if not whole or a.shape[0] != b.shape[0]:
                self.refuse(f'{node.target} of maps {a.shape} and {b.shape}')
        sign = -1.0 if _name(node) == 'sub' else 1.0
        terms = [Term(a, 1.0, factors[0]), Term(b, sign * float(alpha), factors[1])]
        return self.map(terms, size, operator='*' if _name(node) == 'mul' else '+')

    _op_add = _op_mul = _op_sub = _binary

    def _op_axis_gate(self, node, x, query, weight, bias, scale, shift, eps, rows):
        batch, height, width, channels = x.shape
        shape = (batch, height, 1, channels) if rows else (batch, 1, width, channels)
        attrs = dict(weight=weight[:, :, None, None], bias=bias, scale=scale)
        attrs.update(shift=shift, query=query, eps=eps, rows=rows)
        return self.add('axis_gate', [x], shape, **attrs)


def _name(node: fx.Node) -> str:
    """Name of the operator that a node calls, without namespace and overload."""
    packet = getattr(node.target, 'overloadpacket', node.target)
    return getattr(packet, '__name__', str(packet)).removesuffix('_')


def _shape(node: Any) -> Shape:
    """Shape of the tensor that a node stands for, channels second."""
    return node.meta['val'].shape


def _is_lift(node: Node) -> bool:
    """Whether an operation up-samples and does nothing else."""
    term, *others = node.attrs['terms']
    alone = not others and node.attrs['activation'] == 'none'
    return alone and term.factors != (1, 1) and term.index is None


@torch.library.custom_op('mmpose_lite::axis_gate', mutates_args=())
def axis_gate(
    x: Tensor,
    query: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Tensor,
    shift: Tensor,
    eps: float,
    rows: bool,
) -> Tensor:
    """Gate of :class:`AxisAttention` as an operator to be traced, never run."""
    raise NotImplementedError('axis_gate is traced, never run')


@axis_gate.register_fake
def _(x, query, weight, bias, scale, shift, eps, rows):
    batch, channels, height, width = x.shape
    return x.new_empty(batch, channels, *((height, 1) if rows else (1, width)))


class MarkedAttention(AxisAttention):
    """Attention along an axis whose gate is one operator; it takes over a layer."""

    def __init__(self, layer: AxisAttention) -> None:
        take_over(self, layer)

    def gate(self, x: Tensor) -> Tensor:
        """Gate of every row or column."""
        layers = (self.mix.weight, self.mix.bias, self.norm.weight, self.norm.bias)
        return axis_gate(x, self.sized(x), *layers, self.norm.eps, self.axis == 'h')


def lower(network: nn.Module, image_size: tuple[int, int], batch: int = 1) -> Graph:
    """Graph of a network that gives one map ``(B, C, h, w)``, alone or in a tuple.

    Raises:
        ValueError: If it uses an operator that is not known, or one as it cannot be
            computed here; the message names it and its module.
    """
    example = torch.zeros(batch, 3, *image_size)
    marked = replace_modules(copy.deepcopy(network), {AxisAttention: MarkedAttention})
    with torch.no_grad(), warnings.catch_warnings():
        # Of torch's own making, when it copies what it has traced.
        warnings.filterwarnings('ignore', '.*LeafSpec.*', FutureWarning)
        # Not strict, which newer versions of torch are by themselves: the strict form
        # keeps a few networks of a class in its cache and refuses more.
        program = torch.export.export(marked, (example,), strict=False)
        program = program.run_decompositions({})
    lowering = Lowering(program)
    image = Value((batch, *image_size, 3))
    outputs: list[Any] = []
    for node in program.graph.nodes:
        if node.op == 'placeholder' and node.name not in lowering.known:
            lowering.known[node.name] = lowering.add('import', [image], image.shape)
        elif node.op == 'call_function':
            lowering.known[node.name] = lowering.call(node)
        elif node.op == 'output':
            outputs = lowering.get(node.args[0])
    if len(outputs) != 1:
        raise ValueError(f'network must give one map, got {len(outputs)}')
    lowering.source = 'network'
    lowering.add('export', outputs, outputs[0].shape)
    return Graph(image, lowering.nodes)
