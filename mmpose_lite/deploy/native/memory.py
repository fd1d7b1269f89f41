"""Where every map lies: views, joined maps without copies, one arena for all."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

from .graph import Graph, Node, Term, Value, combined

ALIGNMENT = 16
"""Floats to whose multiples maps are aligned."""
ROUND = 4
"""Floats to whose multiples the distance between pixels is rounded up."""


def round_up(number: int, multiple: int) -> int:
    """The next multiple of a number."""
    return -(-number // multiple) * multiple


@dataclass(eq=False)
class Buffer:
    """Memory of maps, with their first channels, that share pixels.

    It begins at the float ``start`` of the arena; pixels are ``stride`` apart.
    """

    pixels: int
    stride: int
    residents: list[tuple[Value, int]] = field(default_factory=list)
    start: int = 0

    @property
    def size(self) -> int:
        """Floats that it takes."""
        return round_up(self.pixels * self.stride, ALIGNMENT)


@dataclass(frozen=True)
class Location:
    """Where a map lies: the first channel there of a buffer."""

    buffer: Buffer
    offset: int

    @property
    def start(self) -> int:
        """First float within the arena."""
        return self.buffer.start + self.offset

    @property
    def stride(self) -> int:
        """Floats from a pixel to the next."""
        return self.buffer.stride


def _resolve(value: Value) -> tuple[Value, int]:
    """The map that a view is of, and the view's first channel."""
    start = 0
    while value.node is not None and value.node.kind == 'slice':
        start += value.node.attrs['start']
        value = value.node.inputs[0]
    return value, start


class MemoryPlan:
    """The maps of a graph, whose operations are fused, in memory.

    Attributes:
        nodes: Operations that remain, in order.
        locations: Where maps lie.
        size: Floats of the arena.
    """

    def __init__(self, graph: Graph) -> None:
        self.locations: dict[Value, Location] = {}
        self._current: Node | None = None
        self._position = {node: float(i) for i, node in enumerate(graph.nodes)}
        # Reader, and the run of channels that it reads.
        self._reads: dict[Value, list[tuple[Node, int, int]]] = {}
        for node in graph.nodes:
            for value in node.inputs if node.kind != 'slice' else ():
                base, start = _resolve(value)
                run = (node, start, start + value.channels)
                self._reads.setdefault(base, []).append(run)
        for node in graph.of('cat'):
            self._current = node
            self._join(node)
        rest = [n for n in self._position if n.kind not in ('slice', 'cat')]
        self.nodes = sorted(rest, key=lambda node: self._position[node])
        for node in self.nodes:
            if node.kind != 'export' and node.output not in self.locations:
                self._own(node.output)
        for node in graph.of('slice'):
            base, start = _resolve(node.output)
            place = self.locations[base]
            self.locations[node.output] = Location(place.buffer, place.offset + start)
        self.size = self._allocate()

    def room(self, value: Value) -> int:
        """Channels that may be written: all of a pixel's, if no other map has any."""
        location = self.locations[value]
        alone = all(v.channels == value.channels for v, _ in location.buffer.residents)
        return location.stride if alone else value.channels

    def _put(self, value: Value, buffer: Buffer, offset: int) -> None:
        """Let a map lie in a buffer."""
        self.locations[value] = Location(buffer, offset)
        buffer.residents.append((value, offset))

    def _own(self, value: Value) -> Buffer:
        """A buffer for a map alone."""
        stride = value.channels
        # A padded image is read line by line, across pixels.
        if value.node is None or value.node.kind not in ('pad', 'import'):
            stride = round_up(stride, ROUND)
        buffer = Buffer(value.pixels, stride)
        self._put(value, buffer, 0)
        return buffer

    def _join(self, cat: Node) -> None:
        """Locate the output of a cat, and its inputs within it if that may be."""
        widths = [value.channels for value in cat.inputs]
        offsets = list(accumulate(widths[:-1], initial=0))
        found = self._kept(cat, offsets)
        if found is not None:
            base, fresh = found
            place = self.locations[base]
            self._put(cat.output, place.buffer, place.offset)
            for value, start in fresh:
                self._put(value, place.buffer, place.offset + start)
            return
        buffer = self._own(cat.output)
        for value, start in zip(cat.inputs, offsets, strict=True):
            assert value.node is not None
            if value.node.kind == 'slice' or value in self.locations:
                value = self._copy(cat, value)
            self._put(value, buffer, start)

    def _copy(self, cat: Node, value: Value) -> Value:
        """A copy, just before a cat, of a map that lies elsewhere."""
        node = combined([Term(value)], value.shape, cat.source)
        self._position[node] = self._position[cat] - 0.5
        self._reads[node.output] = []
        return node.output

    def _kept(
        self, cat: Node, offsets: list[int]
    ) -> tuple[Value, list[tuple[Value, int]]] | None:
        """The map that a cat changes a part of, and the new parts with their location.

        None if there is no such map, or if it is read when the new parts are there.
        """
        base: Value | None = None
        fresh: list[tuple[Value, int]] = []
        for value, offset in zip(cat.inputs, offsets, strict=True):
            source, start = _resolve(value)
            if source is not value or value in self.locations:
                same = start == offset and source.channels == cat.output.channels
                if not same or base not in (None, source):
                    return None
                base = source
            elif any(other is value for other, _ in fresh):
                return None
            else:
                fresh.append((value, offset))
        if base is None or not fresh:
            return None
        if base not in self.locations:
            self._own(base)
        fits = all(self._may_overwrite(base, *part) for part in fresh)
        return (base, fresh) if fits else None

    def _may_overwrite(self, base: Value, value: Value, start: int) -> bool:
        """Whether all that lies where a new part would is read before it is written."""
        place = self.locations[base]
        first = place.offset + start
        last = first + value.channels
        assert value.node is not None
        time = self._position[value.node]
        for resident, offset in place.buffer.residents:
            writer = resident.node
            overlaps = offset < last and first < offset + resident.channels
            # A cat writes nothing itself; what reads it is seen below.
            late = writer is None or (
                writer.kind != 'cat' and self._position[writer] > time
            )
            if overlaps and late:
                return False
            for reader, begin, end in self._reads.get(resident, ()):
                if begin + offset >= last or first >= end + offset:
                    continue
                if reader.kind == 'cat' and self._joins(reader, place.buffer):
                    continue
                same = (begin + offset, end + offset) == (first, last)
                if self._position[reader] > time or (
                    reader is value.node and not (same and _in_step(reader))
                ):
                    return False
        return True

    def _joins(self, cat: Node, buffer: Buffer) -> bool:
        """Whether a cat lies in this buffer, or is about to, and so reads nothing."""
        output = self.locations.get(cat.output)
        return output.buffer is buffer if output is not None else cat is self._current

    def _allocate(self) -> int:
        """Give every buffer its memory; returns the floats of the arena."""
        lives: dict[Buffer, tuple[float, float]] = {}
        for buffer in (location.buffer for location in self.locations.values()):
            times = [
                self._position[node]
                for value, _ in buffer.residents
                for node in (value.node, *(r[0] for r in self._reads.get(value, ())))
                if node is not None
            ]
            lives[buffer] = (min(times), max(times))
        placed: list[Buffer] = []
        for buffer in sorted(lives, key=lambda b: (-b.size, lives[b])):
            first, last = lives[buffer]
            others = [b for b in placed if lives[b][0] <= last and first <= lives[b][1]]
            start = 0
            for other in sorted(others, key=lambda b: b.start):
                if other.start - start >= buffer.size:
                    break
                start = max(start, other.start + other.size)
            buffer.start = start
            placed.append(buffer)
        return max(b.start + b.size for b in placed)


def _in_step(node: Node) -> bool:
    """Whether each element is read just before it is written."""
    return node.kind == 'map' and all(
        term.factors == (1, 1) and term.index is None
        for term in node.attrs['terms']
        if term.value.shape == node.output.shape
    )
