"""Pictures of HR-NAS networks."""

from __future__ import annotations

import math
from functools import cache

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import numpy as np
import pytest
from explain_models import TINY, shrunk
from matplotlib.colors import to_rgb

from mmpose_lite.explain import architecture as drawing
from mmpose_lite.explain import draw_architecture
from mmpose_lite.explain.architecture import ROW, lay_out
from mmpose_lite.models.backbones.hrnas_arch import (
    SPACES,
    BlockArch,
    full_arch,
    places,
)


def area(picture, colour):
    """Pixels of exactly one colour."""
    bgr = [round(255 * part) for part in to_rgb(colour)[::-1]]
    return int((picture == bgr).all(-1).sum())


@cache
def empty():
    """Picture of a network without anything, where all colour is the legend's."""
    return draw_architecture(TINY, [BlockArch((), ()) for _ in full_arch(TINY)])


def used(picture, colour):
    """Pixels of a colour in blocks, and in the bars that sum over them."""
    return area(picture, colour) - area(empty(), colour)


@pytest.mark.parametrize('space', [*SPACES.values(), TINY], ids=[*SPACES, 'tiny'])
def test_every_block_has_a_place_of_its_own(space):
    layout = lay_out(space)
    assert len(layout.blocks) == len(list(places(space)))
    reach = 2 * (drawing._RADIUS if space.transformer is None else drawing._RING[1])
    for i, one in enumerate(layout.blocks):
        assert 0 < one[0] < layout.end
        assert all(math.dist(one, other) > reach for other in layout.blocks[:i])


@pytest.mark.parametrize('space', [*SPACES.values(), TINY], ids=[*SPACES, 'tiny'])
def test_blocks_stand_where_they_compute(space):
    """On the row of their resolution, or between the two that they connect."""
    layout = lay_out(space)
    rows = zip(places(space), layout.blocks, strict=True)
    for place, (_, y) in list(rows)[:-1]:
        if place.is_residual and y % ROW == 0:
            assert y == place.level * ROW
        elif place.stride == 2:
            assert place.level * ROW < y < (place.level + 1) * ROW
        elif y % ROW:
            assert (place.level - 1) * ROW < y < place.level * ROW
    assert layout.blocks[-1][1] == 0
    assert layout.blocks[-1][0] > layout.end - 2 * drawing._STEP


def test_coloured_areas_are_what_is_left():
    """Half the channels of a kernel size leave half its area."""
    full = full_arch(TINY)
    halves = [
        BlockArch(b.kernels, (b.channels[0] // 2, *b.channels[1:]), b.tokens)
        for b in full
    ]
    whole, half = (draw_architecture(TINY, arch) for arch in (full, halves))
    for index, expected in enumerate((0.5, 1, 1)):
        colour = drawing._COLOURS[index]
        # Not exactly: antialiased edges weigh more on small areas.
        ratio = used(half, colour) / used(whole, colour)
        assert ratio == pytest.approx(expected, abs=0.05), index
    rings = [BlockArch(b.kernels, b.channels, b.tokens // 2) for b in full]
    ratio = used(draw_architecture(TINY, rings), drawing._QUERIES) / used(
        whole, drawing._QUERIES
    )
    assert ratio == pytest.approx(0.5, abs=0.05)


def test_removed_blocks_lose_all_colour():
    net = shrunk()
    left = [*net.arch]
    picture = draw_architecture(net.space, left, 'name', 'cost', (64, 48))
    assert left[3] == BlockArch((), ())
    left[0] = BlockArch((), ())
    fewer = draw_architecture(net.space, left, 'name', 'cost', (64, 48))
    assert fewer.shape == picture.shape
    for colour in (*drawing._COLOURS[:3], drawing._QUERIES):
        assert used(fewer, colour) < used(picture, colour)
    changed = np.argwhere((fewer != picture).any(-1))
    legend = picture.shape[0] - drawing._UNIT * drawing._DPI * 2.5
    above = changed[changed[:, 0] < legend]
    extent = (above.max(0) - above.min(0)) / (drawing._UNIT * drawing._DPI)
    assert (extent < 2 * drawing._RING[1] + 0.1).all()


def test_architectures_of_another_space_are_refused():
    with pytest.raises(ValueError, match='must have 8 blocks, got 7'):
        draw_architecture(TINY, full_arch(TINY)[:-1])
