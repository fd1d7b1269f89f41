"""What a network computes, as a list of operations on maps with channels last."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int, int, int, int]
"""Batch, height, width, channels; a vector per image is a map of one pixel."""


@dataclass(eq=False)
class Value:
    """A map, which ``node`` writes once; nothing does if it is the image."""

    shape: Shape
    node: Node | None = None

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[3]

    @property
    def pixels(self) -> int:
        """Pixels of all images of the batch."""
        return self.shape[0] * self.shape[1] * self.shape[2]


@dataclass(frozen=True, eq=False)
class Term:
    """A map as it enters an element-wise operation.

    Attributes:
        value: The map.
        scale: Factor.
        factors: Rows and columns of the result that share a pixel of the map.
        index: Channel of the map for every channel of the result; None for the same.
    """

    value: Value
    scale: float = 1.0
    factors: tuple[int, int] = (1, 1)
    index: tuple[int, ...] | None = None

    @property
    def plain(self) -> bool:
        """Whether it enters element by element as it is."""
        return self.scale == 1.0 and self.factors == (1, 1) and self.index is None


@dataclass(eq=False)
class Node:
    """An operation of a kind, with what else it needs, by its kind, in ``attrs``.

    ``source`` is the path of the module that asked for it.
    """

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
    """A network: operations, each after all that it reads, of which the last exports."""

    image: Value
    nodes: list[Node]

    def of(self, kind: str) -> list[Node]:
        """Operations of a kind, in a list of their own."""
        return [node for node in self.nodes if node.kind == kind]

    def uses(self) -> Counter[Value]:
        """How often each map is read."""
        return Counter(value for node in self.nodes for value in node.inputs)
