"""Pixels of an explanation's picture."""

import numpy as np
import pytest

from mmpose_lite.explain import draw_explanation
from mmpose_lite.explain.panels import Explanation, Panel, Section

META = dict(skeleton_links=[(0, 1)], skeleton_link_colors=np.array([[0, 255, 0]]))


def page(*panels, score=0.9):
    """The pixels of a page with white crops."""
    crop = np.full((60, 40, 3), 255, np.uint8)
    points = np.array([[10, 50, 0.9], [30, 50, score]])
    found = Explanation(crop, points, [Section('section', panels)])
    return draw_explanation(found, META, 'title').astype(int)


def inside(panel):
    """What a panel changes of the white crop."""
    drawn = page(panel)
    ys, xs = np.nonzero(np.abs(drawn - page(Panel('one'))).sum(axis=2))
    return drawn[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]


def test_heat_is_dark_where_small_and_grey_where_pruned():
    found = inside(Panel('one', np.array([[0.0, 1.0], [np.nan, 0.5]])))
    height, width = found.shape[:2]
    assert height / width == pytest.approx(1.5, rel=0.05)
    least, most = found[height // 4, width // 4], found[height // 4, width * 3 // 4]
    grey = found[height * 3 // 4, width // 4]
    assert np.abs(grey - np.array([230, 224, 222])).max() < 12
    assert np.abs(least - grey).max() > 15
    assert most[2] > most[0]  # bright end of the colours: yellow, not blue
    assert len({tuple(pixel) for pixel in (least, most, grey)}) == 3


def test_values_below_the_lowest_colour_are_as_dark_as_it():
    below, at = (
        inside(Panel('one', np.array([[low, 1.0]]), low=0.0)) for low in (-9.0, 0.0)
    )
    assert np.array_equal(below, at)


def test_what_is_not_kept_is_dark():
    found = inside(Panel('one', kept=np.array([[False, True], [False, False]])))
    height, width = found.shape[:2]
    assert found[height // 4, width // 4].max() < 80
    assert found[height // 4, width * 3 // 4].min() == 255


def test_strips_areas_and_links_are_drawn():
    heat = np.ones((3, 2))
    plain = page(Panel('one', heat))
    strips = page(Panel('one', heat, rows=np.arange(3.0), columns=np.arange(2.0)))
    assert not np.array_equal(plain[: len(strips)], strips[: len(plain)])
    full, half = (page(Panel('one', bars=np.full(8, share))) for share in (1.0, 0.5))
    purple = [(np.abs(p - [122, 42, 123]).sum(axis=2) < 6).sum() for p in (full, half)]
    assert purple[0] == pytest.approx(2 * purple[1], rel=0.1)
    links = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert np.abs(page(Panel('one', links=links)) - page(Panel('one'))).max() > 50


def test_skeleton_needs_sure_keypoints():
    def green(picture):
        return ((picture[..., 1] - picture[..., [0, 2]].max(axis=2)) > 150).sum()

    assert green(page(Panel('one', skeleton=True))) > 20
    assert green(page(Panel('one', skeleton=True), score=0.1)) == 0
