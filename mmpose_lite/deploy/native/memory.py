"""Where every map lies: views, joined maps without copies, one arena for all."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

from .graph import Graph, Node, Term, Value, combined

ALIGNMENT = 16  # of maps, in floats
ROUND = 4  # floats to whose multiples the distance between pixels is rounded up


def round_up(number: int, multiple: int) -> int:
    """The next multiple of a number."""
    return -(-number // multiple) * multiple


@dataclass(eq=False)
class Buffer:
    """Memory of maps from float ``start`` of the arena on, pixels ``stride`` apart."""

    pixels: int
    stride: int
    residents: list[Value] = field(default_factory=list)
    start: int = 0

    @property
    def size(self) -> int:
        """In floats."""
        return round_up(self.pixels * self.stride, ALIGNMENT)


def _resolve(value: Value) -> tuple[Value, int]:
    """The map that a view is of, and the view's first channel."""
    start = 0
    while value.node is not None and value.node.kind == 'slice':
        start += value.node.attrs['start']
        value = value.node.inputs[0]
    return value, start


def _put(value: Value, buffer: Buffer, offset: int) -> None:
    value.buffer, value.offset = buffer, offset
    buffer.residents.append(value)


def room(value: Value) -> int:
    """Channels that may be written: all of a pixel's, if no other map has any."""
    alone = all(v.channels == value.channels for v in value.buffer.residents)
    return value.stride if alone else value.channels


class MemoryPlan:
    """Arena of ``size`` floats for a fused graph, and the ``nodes`` left, in order."""

    def __init__(self, graph: Graph) -> None:
        self._buffers: list[Buffer] = []
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
            if node.kind != 'export' and node.output.buffer is None:
                self._own(node.output)
        for node in graph.of('slice'):
            base, start = _resolve(node.output)
            node.output.buffer, node.output.offset = base.buffer, base.offset + start
        self.size = self._allocate()

    def _own(self, value: Value) -> Buffer:
        """A buffer for a map alone."""
        stride = value.channels
        # A padded image is read line by line, across pixels.
        if value.node is None or value.node.kind not in ('pad', 'import'):
            stride = round_up(stride, ROUND)
        self._buffers.append(Buffer(value.pixels, stride))
        _put(value, self._buffers[-1], 0)
        return self._buffers[-1]

    def _join(self, cat: Node) -> None:
        """Locate the output of a cat, and its inputs within it if that may be."""
        widths = [value.channels for value in cat.inputs]
        offsets = list(accumulate(widths[:-1], initial=0))
        found = self._kept(cat, offsets)
        if found is not None:
            base, fresh = found
            _put(cat.output, base.buffer, base.offset)
            for value, start in fresh:
                _put(value, base.buffer, base.offset + start)
            return
        buffer = self._own(cat.output)
        for value, start in zip(cat.inputs, offsets, strict=True):
            assert value.node is not None
            if value.node.kind == 'slice' or value.buffer is not None:
                copy = combined([Term(value)], value.shape, cat.source)
                self._position[copy] = self._position[cat] - 0.5
                value = copy.output
            _put(value, buffer, start)

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
            if source is not value or value.buffer is not None:
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
        if base.buffer is None:
            self._own(base)
        fits = all(self._may_overwrite(base, *part) for part in fresh)
        return (base, fresh) if fits else None

    def _may_overwrite(self, base: Value, value: Value, start: int) -> bool:
        """Whether all that lies where a new part would is read before it is written."""
        first = base.offset + start
        last = first + value.channels
        assert value.node is not None
        time = self._position[value.node]
        for resident in base.buffer.residents:
            writer, offset = resident.node, resident.offset
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
                if reader.kind == 'cat' and self._joins(reader, base.buffer):
                    continue
                same = (begin + offset, end + offset) == (first, last)
                if self._position[reader] > time or (
                    reader is value.node and not (same and _in_step(reader))
                ):
                    return False
        return True

    def _joins(self, cat: Node, buffer: Buffer) -> bool:
        """Whether a cat lies in this buffer, or is about to, and so reads nothing."""
        place = cat.output.buffer
        return cat is self._current if place is None else place is buffer

    def _allocate(self) -> int:
        """Give every buffer its memory; returns the floats of the arena."""
        lives: dict[Buffer, tuple[float, float]] = {}
        for buffer in self._buffers:
            times = [
                self._position[node]
                for value in buffer.residents
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
