"""What a network computes, as a list of operations on maps with channels last.

:func:`fuse` makes it fewer passes over memory: what follows an operation element by
element joins it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int, int, int, int]
"""Batch, height, width, channels; a vector per image is a map of one pixel."""
WITH_ACTIVATION = ('pointwise', 'dense', 'depthwise', 'map')
WITH_RESIDUAL = ('pointwise', 'dense')


@dataclass(eq=False)
class Value:
    """A map, which ``node`` writes once; nothing does if it is the image.

    When memory is planned it gets channels from ``offset`` on in a ``buffer``.
    """

    shape: Shape
    node: Node | None = None
    buffer: Any = None
    offset: int = 0

    @property
    def channels(self) -> int:
        """Channels."""
        return self.shape[3]

    @property
    def pixels(self) -> int:
        """Pixels of all images of the batch."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def start(self) -> int:
        """First float within the arena."""
        return self.buffer.start + self.offset

    @property
    def stride(self) -> int:
        """Floats from a pixel to the next."""
        return self.buffer.stride


@dataclass(frozen=True, eq=False)
class Term:
    """A map, times ``scale``, as it enters an element-wise operation."""

    value: Value
    scale: float = 1.0
    # Rows and columns of the result that share a pixel of the map.
    factors: tuple[int, int] = (1, 1)
    # Channel of the map for every channel of the result; None for the same.
    index: tuple[int, ...] | None = None

    @property
    def plain(self) -> bool:
        """Whether it enters element by element as it is."""
        return self.scale == 1.0 and self.factors == (1, 1) and self.index is None


@dataclass(eq=False)
class Node:
    """An operation of the module at path ``source``; its kind decides on ``attrs``."""

    kind: str
    inputs: list[Value]
    output: Value
    source: str = ''
    attrs: dict[str, Any] = field(default_factory=dict)


def combined(
    terms: list[Term],
    shape: Shape,
    source: str,
    operator: str = '+',
    activation: str = 'none',
) -> Node:
    """Sum or product of maps, element by element, and what it writes."""
    output = Value(shape)
    attrs = dict(terms=terms, operator=operator, activation=activation)
    output.node = Node('map', [term.value for term in terms], output, source, attrs)
    return output.node


@dataclass
class Graph:
    """A network: operations, each after all that it reads; the last one exports."""

    image: Value
    nodes: list[Node]

    def of(self, kind: str) -> list[Node]:
        """Operations of a kind."""
        return [node for node in self.nodes if node.kind == kind]

    def uses(self) -> Counter[Value]:
        """How often each map is read."""
        return Counter(value for node in self.nodes for value in node.inputs)


def fuse(graph: Graph) -> Graph:
    """Join operations of a graph, which is changed."""
    _drop_unused(graph)
    _pad_image(graph)
    _join_activations(graph)
    _inline_terms(graph)
    _drop_unused(graph)
    _join_sums(graph)
    _join_gates(graph)
    _drop_unused(graph)
    return graph


def _drop_unused(graph: Graph) -> None:
    needed: set[Value] = set()
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if node.kind == 'export' or node.output in needed:
            needed.update(node.inputs)
            kept.append(node)
    graph.nodes = kept[::-1]


def _take_over(graph: Graph, node: Node, follower: Node) -> None:
    """Let ``node`` write the output of ``follower``, which is removed."""
    node.output = follower.output
    node.output.node = node
    graph.nodes.remove(follower)


def _pad_image(graph: Graph) -> None:
    """Lay the image out with the borders that its only reader wants."""
    uses = graph.uses()
    for node in graph.of('pad'):
        before = node.inputs[0].node
        assert before is not None
        if before.kind == 'import' and uses[node.inputs[0]] == 1:
            before.attrs['padding'] = node.attrs['padding']
            _take_over(graph, before, node)


def _join_activations(graph: Graph) -> None:
    """Apply an activation while its only input is written."""
    uses = graph.uses()
    for node in graph.of('map'):
        terms, before = node.attrs['terms'], node.inputs[0].node
        alone = len(terms) == 1 and terms[0].plain and uses[node.inputs[0]] == 1
        fits = before is not None and before.kind in WITH_ACTIVATION
        if alone and fits and before.attrs['activation'] == 'none':
            before.attrs['activation'] = node.attrs['activation']
            _take_over(graph, before, node)


def _inline_terms(graph: Graph) -> None:
    """Read what a term is made of instead of the term."""
    uses = graph.uses()
    for node in graph.of('map'):
        parts = [_parts(node, term, uses[term.value]) for term in node.attrs['terms']]
        node.attrs['terms'] = [term for some in parts for term in some]
        node.inputs = [term.value for term in node.attrs['terms']]


def _parts(node: Node, term: Term, uses: int) -> list[Term]:
    """A term, or what it is made of where that costs no more."""
    inner = term.value.node
    if inner is None or inner.kind != 'map' or inner.attrs['activation'] != 'none':
        return [term]
    parts = inner.attrs['terms']
    # A sum of small maps is better made before it is up-sampled.
    nested = inner.attrs['operator'] == node.attrs['operator']
    if len(parts) == 1 or (nested and uses == 1 and term.plain):
        return [_compose(term, part) for part in parts]
    return [term]


def _compose(outer: Term, inner: Term) -> Term:
    """A term of what is itself one term."""
    index, order = inner.index, outer.index
    if order is not None:
        index = order if index is None else tuple(index[i] for i in order)
    (a, b), (c, d) = outer.factors, inner.factors
    return Term(inner.value, outer.scale * inner.scale, (a * c, b * d), index)


def _join_sums(graph: Graph) -> None:
    """Let convolutions add what their output is to be added to."""
    uses = graph.uses()
    for node in graph.of('map'):
        if node.attrs['operator'] != '+' or len(node.attrs['terms']) < 2:
            continue
        joined: list[Node] = []
        rest: list[Term] = []
        for term in node.attrs['terms']:
            before = term.value.node
            fits = before is not None and term.plain and uses[term.value] == 1
            if fits and _takes_residual(before, joined, node.attrs['activation']):
                joined.append(before)
            else:
                rest.append(term)
        if joined:
            _chain(graph, node, joined, rest)


def _takes_residual(before: Node, joined: list[Node], activation: str) -> bool:
    if before.kind == 'bilinear':
        return before.attrs['addend'] is None and not joined and activation == 'none'
    return (
        before.kind in WITH_RESIDUAL
        and before.attrs['activation'] == 'none'
        and before.attrs['residual'] is None
        and not any(other.kind == 'bilinear' for other in joined)
    )


def _chain(graph: Graph, node: Node, joined: list[Node], rest: list[Term]) -> None:
    """One convolution after the other adds to what was there before."""
    chain: list[Node] = []
    total: Term | None = None
    simple = joined[0].kind == 'pointwise' or (bool(rest) and rest[0].factors == (1, 1))
    if len(rest) == 1 and rest[0].scale == 1.0 and rest[0].index is None and simple:
        total = rest[0]
    elif rest:
        chain.append(combined(rest, node.output.shape, node.source))
        total = Term(chain[0].output)
    for conv in joined:
        if total is not None:
            conv.attrs['addend' if conv.kind == 'bilinear' else 'residual'] = total
            conv.inputs.append(total.value)
        total = Term(conv.output)
        chain.append(conv)
        graph.nodes.remove(conv)
    if chain[-1].kind != 'bilinear':
        chain[-1].attrs['activation'] = node.attrs['activation']
    at = graph.nodes.index(node)
    graph.nodes[at:at] = chain
    _take_over(graph, chain[-1], node)


def _join_gates(graph: Graph) -> None:
    """Multiply with a gate while a depthwise convolution reads."""
    uses = graph.uses()
    for node in graph.of('depthwise'):
        before = node.inputs[0].node
        if before is None or before.kind != 'map' or uses[node.inputs[0]] != 1:
            continue
        terms = sorted(before.attrs['terms'], key=lambda t: math.prod(t.factors))
        fits = before.attrs['operator'] == '*' and len(terms) == 2 and terms[0].plain
        fits = fits and before.attrs['activation'] == 'none'
        if fits and terms[1].scale == 1.0 and terms[1].index is None:
            node.inputs = [terms[0].value, terms[1].value]
            node.attrs['gate'] = terms[1]
            graph.nodes.remove(before)
