"""Where the blocks of an HR-NAS network stand in a picture: depth by resolution."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..models.backbones.hrnas_arch import SearchSpace, fuse_sources

Point = tuple[float, float]

ROW = 2.0  # height of a resolution
STEP = 0.95  # width of a block in a row of them
STEM = 1.3
CROSSING = 2.5  # width of a fuse module with more than one resolution
GROWTH = 1.2  # width of a new resolution's block
TURN = 0.35  # where on a path to another resolution its block stands
OWN = 0.63  # and on the path within a resolution


@dataclass(frozen=True)
class Link:
    """A path between two places of the picture; level where it begins and ends.

    Attributes:
        start: Where it begins.
        end: Where it ends.
    """

    start: Point
    end: Point

    def at(self, share: float) -> Point:
        """Point after ``share`` of the way to the right."""
        (x0, y0), (x1, y1) = self.start, self.end
        bend = share * share * (3 - 2 * share)
        return x0 + share * (x1 - x0), y0 + bend * (y1 - y0)


@dataclass
class Layout:
    """A picture without its contents, x to the right and y down.

    Attributes:
        blocks: Centre of every block, in block order.
        links: Paths that features take.
        sums: Where paths are summed and rectified.
        fuses: Middle of every fuse module.
        stages: Extent along x of each stage's rows of blocks, and their number.
        labels: Where the width of a resolution is written, and what.
        concat: Where all resolutions are put together.
        width: Extent along x.
    """

    blocks: list[Point] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    sums: list[Point] = field(default_factory=list)
    fuses: list[float] = field(default_factory=list)
    stages: list[tuple[float, float, int]] = field(default_factory=list)
    labels: list[tuple[Point, int]] = field(default_factory=list)
    concat: Point = (0.0, 0.0)
    width: float = 0.0

    def _fuse(self, x: float, before: int, after: int) -> float:
        """Add a fuse module that begins at ``x``; returns where it ends."""
        end = x + (CROSSING if before > 1 else STEP)
        gap = GROWTH if after > before else 0.3
        self.fuses.append((x + end) / 2)
        for i, sources in enumerate(fuse_sources(before, after)):
            for j in sources:
                link = Link((x, j * ROW), (end, i * ROW))
                self.links.append(link)
                share = OWN if before > 1 else 0.5
                self.blocks.append(link.at(share if i == j else TURN))
            if len(sources) > 1:
                self.sums.append((end, i * ROW))
            self.links.append(Link((end, i * ROW), (end + gap, i * ROW)))
        for i in range(before, after):
            link = Link((end, (i - 1) * ROW), (end + gap, i * ROW))
            self.links.append(link)
            self.blocks.append(link.at(0.6))
        return end + gap

    def _parallel(
        self, x: float, counts: tuple[int, ...], widths: tuple[int, ...]
    ) -> float:
        """Add rows of blocks; returns where they end."""
        end = x + max(counts) * STEP + 0.1
        for i, (count, width) in enumerate(zip(counts, widths, strict=True)):
            self.links.append(Link((x, i * ROW), (end, i * ROW)))
            self.labels.append(((x, i * ROW), width))
            for k in range(count):
                share = (k + 0.5) / count
                self.blocks.append((x + share * (end - x), i * ROW))
        self.stages.append((x, end, len(counts)))
        return end


def lay_out(space: SearchSpace) -> Layout:
    """Places for all blocks of a space, from the stem to the merged map."""
    layout = Layout(links=[Link((0, 0), (STEM, 0))])
    x, before = STEM, 1
    for counts, widths in zip(space.num_blocks, space.channels, strict=True):
        x = layout._fuse(x, before, len(counts))
        x = layout._parallel(x, counts, widths)
        before = len(counts)
    end = x + (GROWTH if before > 1 else 0.2)
    layout.links += [Link((x, i * ROW), (end, 0)) for i in range(before)]
    layout.concat = (end, 0)
    layout.links.append(Link((end, 0), (end + 2 * STEP, 0)))
    layout.blocks.append((end + STEP, 0))
    layout.width = end + 2 * STEP
    return layout
