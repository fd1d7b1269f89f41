"""Where every map lies: views, joined maps without copies, one arena for all."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    """Memory of maps that share pixels.

    Attributes:
        pixels: Number of pixels.
        stride: Floats from a pixel to the next.
        residents: Maps that lie in it, and their first channels.
        start: First float within the arena.
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
    """Where a map lies.

    Attributes:
        buffer: Within which memory.
        offset: First channel there.
    """

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


@dataclass
class MemoryPlan:
    """A graph with memory.

    Attributes:
        nodes: Operations that remain, in order.
        locations: Where maps lie.
        size: Floats of the arena.
    """

    nodes: list[Node]
    locations: dict[Value, Location]
    size: int

    def room(self, value: Value) -> int:
        """Channels that may be written: all of a pixel's, if no other map has any."""
        location = self.locations[value]
        alone = all(v.channels == value.channels for v, _ in location.buffer.residents)
        return location.stride if alone else value.channels


def resolve(value: Value) -> tuple[Value, int]:
    """The map that a view is of, and the view's first channel."""
    start = 0
    while value.node is not None and value.node.kind == 'slice':
        start += value.node.attrs['start']
        value = value.node.inputs[0]
    return value, start


class Planner:
    """Locates the maps of a graph whose operations are fused."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.locations: dict[Value, Location] = {}
        self.current: Node | None = None
        self.position = {node: float(i) for i, node in enumerate(graph.nodes)}
        # Reader, and the run of channels that it reads.
        self.reads: dict[Value, list[tuple[Node, int, int]]] = {}
        for node in graph.nodes:
            if node.kind != 'slice':
                for value in node.inputs:
                    base, start = resolve(value)
                    run = (node, start, start + value.channels)
                    self.reads.setdefault(base, []).append(run)

    def plan(self) -> MemoryPlan:
        """Locate all maps."""
        for node in self.graph.nodes:
            if node.kind == 'cat':
                self.current = node
                self.join(node)
        nodes = [n for n in self.position if n.kind not in ('slice', 'cat')]
        nodes.sort(key=lambda n: self.position[n])
        for node in nodes:
            if node.kind != 'export' and node.output not in self.locations:
                self.own(node.output)
        for node in self.graph.nodes:
            if node.kind == 'slice':
                base, start = resolve(node.output)
                location = self.locations[base]
                self.locations[node.output] = Location(
                    location.buffer, location.offset + start
                )
        return MemoryPlan(nodes, self.locations, self.allocate())

    def put(self, value: Value, buffer: Buffer, offset: int) -> None:
        """Let a map lie in a buffer."""
        self.locations[value] = Location(buffer, offset)
        buffer.residents.append((value, offset))

    def own(self, value: Value) -> Buffer:
        """A buffer for a map alone."""
        stride = value.channels
        # A padded image is read line by line, across pixels.
        if value.node is None or value.node.kind not in ('pad', 'import'):
            stride = round_up(stride, ROUND)
        buffer = Buffer(value.pixels, stride)
        self.put(value, buffer, 0)
        return buffer

    def join(self, cat: Node) -> None:
        """Locate the output of a cat, and its inputs within it if that may be."""
        offsets, offset = [], 0
        for value in cat.inputs:
            offsets.append(offset)
            offset += value.channels
        found = self.kept(cat, offsets)
        if found is not None:
            base, fresh = found
            location = self.locations[base]
            self.put(cat.output, location.buffer, location.offset)
            for value, start in fresh:
                self.put(value, location.buffer, location.offset + start)
            return
        buffer = self.own(cat.output)
        for value, start in zip(cat.inputs, offsets, strict=True):
            node = value.node
            assert node is not None
            if node.kind == 'slice' or value in self.locations:
                self.copy(cat, value, buffer, start)
            else:
                self.put(value, buffer, start)

    def copy(self, cat: Node, value: Value, buffer: Buffer, offset: int) -> None:
        """Copy a map that lies elsewhere."""
        node = combined([Term(value)], value.shape, cat.source)
        self.position[node] = self.position[cat] - 0.5
        self.reads[node.output] = []
        self.put(node.output, buffer, offset)

    def kept(
        self, cat: Node, offsets: list[int]
    ) -> tuple[Value, list[tuple[Value, int]]] | None:
        """The map that a cat changes a part of, and the new parts with their location.

        None if there is no such map, or if it is read when the new parts are there.
        """
        base: Value | None = None
        fresh: list[tuple[Value, int]] = []
        for value, offset in zip(cat.inputs, offsets, strict=True):
            source, start = resolve(value)
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
            self.own(base)
        fits = all(self.may_overwrite(base, *part) for part in fresh)
        return (base, fresh) if fits else None

    def may_overwrite(self, base: Value, value: Value, start: int) -> bool:
        """Whether all that lies where a new part would is read before it is written."""
        location = self.locations[base]
        first = location.offset + start
        last = first + value.channels
        assert value.node is not None
        time = self.position[value.node]
        for resident, offset in location.buffer.residents:
            writer = resident.node
            overlaps = offset < last and first < offset + resident.channels
            # A cat writes nothing itself; what reads it is seen below.
            late = writer is None or (
                writer.kind != 'cat' and self.position[writer] > time
            )
            if overlaps and late:
                return False
            for reader, begin, end in self.reads.get(resident, ()):
                if begin + offset >= last or first >= end + offset:
                    continue
                output = self.locations.get(reader.output)
                if reader.kind == 'cat' and self._joins(
                    reader, output, location.buffer
                ):
                    continue
                same = (begin + offset, end + offset) == (first, last)
                if self.position[reader] > time or (
                    reader is value.node and not (same and self._in_step(reader))
                ):
                    return False
        return True

    def _joins(self, cat: Node, output: Location | None, buffer: Buffer) -> bool:
        """Whether a cat lies in this buffer, or is about to, and so reads nothing."""
        return output.buffer is buffer if output is not None else cat is self.current

    def _in_step(self, node: Node) -> bool:
        """Whether each element is read just before it is written."""
        return node.kind == 'map' and all(
            term.factors == (1, 1) and term.index is None
            for term in node.attrs['terms']
            if term.value.shape == node.output.shape
        )

    def allocate(self) -> int:
        """Give every buffer its memory; returns the floats of the arena."""
        lives: dict[Buffer, tuple[float, float]] = {}
        for location in self.locations.values():
            buffer = location.buffer
            times = [
                self.position[node]
                for value, _ in buffer.residents
                for node in (value.node, *(r[0] for r in self.reads.get(value, ())))
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
