import cv2
import numpy as np
import pytest

from mmpose_lite.data.toy_shapes import capsules, fixed_point, hulls, visible_cap


def inside(polygon, point):
    contour = np.asarray(polygon, np.float32)[:, None]
    return cv2.pointPolygonTest(contour, tuple(map(float, point)), False) >= 0


@pytest.mark.parametrize('angle', [0.0, 0.7, 2.2, -1.4])
def test_capsules_hold_their_axis_and_are_as_wide_as_their_circles(angle):
    start, radii = np.array([40.0, 50.0]), (9.0, 4.0)
    axis = 30 * np.array([np.cos(angle), np.sin(angle)])
    outline = capsules(start, start + axis, *map(np.array, radii))
    for t in (0, 0.5, 1):
        assert inside(outline, start + t * axis)
    for center, radius in zip((start, start + axis), radii, strict=True):
        far = np.linalg.norm(outline - center, axis=1)
        assert np.isclose(far, radius).sum() >= 7
    assert not inside(outline, start - axis)
    assert cv2.isContourConvex(outline.astype(np.float32))


def test_a_capsule_seen_along_its_axis_is_its_larger_circle():
    point = np.array([5.0, 6.0])
    outline = capsules(point, point + 0.5, np.array(8.0), np.array(2.0))
    far = np.linalg.norm(outline - point, axis=1)
    assert far.max() == pytest.approx(8.0)
    assert inside(outline, point)


def test_hulls_wrap_all_circles():
    centres = np.array([[(10.0, 10.0), (40.0, 12.0), (25.0, 50.0)]])
    (outline,) = hulls(centres, np.full((1, 3), 5.0))
    assert all(inside(outline, center) for center in centres[0])
    assert outline[:, 0].min() == pytest.approx(5.0, abs=0.2)
    assert outline[:, 1].max() == pytest.approx(55.0, abs=0.2)


@pytest.mark.parametrize('seed', range(12))
def test_visible_cap_against_the_definition_in_every_pixel(seed):
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    half_angle = rng.uniform(0.6, 1.5)
    y, x = np.mgrid[-1:1:201j, -1:1:201j]
    z = np.sqrt(np.clip(1 - x * x - y * y, 0, None))
    on_cap = x * axis[0] + y * axis[1] + z * axis[2] > np.cos(half_angle)
    expected = on_cap & (x * x + y * y < 1)
    drawn = np.zeros(x.shape, np.uint8)
    polygon = visible_cap(axis, half_angle, samples=60)
    if len(polygon):
        cv2.fillPoly(drawn, [fixed_point(100 + 100 * polygon)], 1, shift=4)
    wrong = (drawn > 0) != expected
    # Pixels on the outline may fall either way: about one in fifty of the disc.
    assert wrong.mean() < 0.02


def test_a_cap_on_the_far_side_is_not_seen():
    assert len(visible_cap(np.array([0.0, 0.0, -1.0]), 1.2)) == 0
