import numpy as np
import pytest

from mmpose_lite.data.toy_body import POINT, pose_bodies
from mmpose_lite.data.toy_pose import (
    ACTIVITIES,
    BONES,
    JOINT_LIMITS,
    sample_angles,
    sample_bones,
    sample_roots,
)

NUM = 400


def sampled(seed=0, roots=None):
    rng = np.random.default_rng(seed)
    angles, bones = sample_angles(rng, NUM), sample_bones(rng, NUM)
    roots = sample_roots(rng, NUM) if roots is None else np.tile(roots, (NUM, 1))
    return angles, bones, pose_bodies(angles, roots, bones)


def segment(bodies, start, end):
    return bodies.points[:, POINT[end]] - bodies.points[:, POINT[start]]


def angle_between(a, b):
    cos = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return np.degrees(np.arccos(np.clip(cos, -1, 1)))


def test_sampled_angles_keep_the_joint_limits_and_reach_beyond_their_middle():
    angles = sample_angles(np.random.default_rng(0), 4000)
    assert set(angles) == set(JOINT_LIMITS)
    for name, (low, high) in JOINT_LIMITS.items():
        assert angles[name].shape == (4000, 2)
        assert low <= angles[name].min() <= angles[name].max() <= high
        assert np.ptp(angles[name]) > 0.4 * (high - low), name


def test_activities_name_known_angles_within_limits():
    for row in ACTIVITIES.values():
        for name, means in row.items():
            low, high = JOINT_LIMITS[name]
            assert (np.array(means) >= low).all()
            assert (np.array(means) <= high).all()


@pytest.mark.parametrize('side', ['left', 'right'])
@pytest.mark.parametrize(
    ('start', 'hinge', 'end'),
    [('shoulder', 'elbow', 'wrist'), ('hip', 'knee', 'ankle')],
)
def test_drawn_hinges_bend_by_the_sampled_angle(side, start, hinge, end):
    angles, _, bodies = sampled()
    start, middle, end = (f'{side}_{joint}' for joint in (start, hinge, end))
    bend = angle_between(segment(bodies, start, middle), segment(bodies, middle, end))
    column = ('left', 'right').index(side)
    np.testing.assert_allclose(bend, angles[hinge][:, column], atol=1e-4)  # degrees


@pytest.mark.parametrize(
    ('start', 'end', 'bone'),
    [
        ('left_shoulder', 'left_elbow', 'upper_arm'),
        ('right_elbow', 'right_wrist', 'forearm'),
        ('left_hip', 'left_knee', 'thigh'),
        ('right_knee', 'right_ankle', 'shank'),
    ],
)
def test_bones_keep_their_length_and_stay_near_the_average(start, end, bone):
    _, bones, bodies = sampled()
    length = np.linalg.norm(segment(bodies, start, end), axis=-1)
    np.testing.assert_allclose(length, bones[bone][:, 0], rtol=1e-9)
    assert (np.abs(length / BONES[bone] - 1) <= 0.12 + 1e-9).all()


def test_the_left_is_the_persons_left():
    for yaw, sign in ((0, 1), (180, -1)):
        _, _, bodies = sampled(roots=np.array([0.0, 0.0, yaw]))
        for joint in ('hip', 'shoulder'):
            across = segment(bodies, f'right_{joint}', f'left_{joint}')[:, 0]
            assert (sign * across > 0).all(), (yaw, joint)


def test_knees_bend_backwards_and_elbows_forwards():
    angles, bones, _ = sampled()
    still = {name: np.zeros((NUM, 2)) for name in angles}
    still['knee'] += 60
    still['elbow'] += 60
    bodies = pose_bodies(still, np.zeros((NUM, 3)), bones)
    assert (segment(bodies, 'left_knee', 'left_ankle')[:, 2] < 0).all()
    assert (segment(bodies, 'left_elbow', 'left_wrist')[:, 2] > 0).all()
    # Facing the camera, the face is in front of the head's middle.
    assert (segment(bodies, 'skull', 'nose')[:, 2] > 0).all()
    assert (segment(bodies, 'skull', 'left_eye')[:, 0] > 0).all()


def test_relaxed_people_are_about_one_stature_tall():
    angles, bones, _ = sampled()
    still = {name: np.zeros((NUM, 2)) for name in angles}
    bodies = pose_bodies(still, np.zeros((NUM, 3)), bones)
    tall = bodies.points[:, POINT['skull'], 1] + 1.06 * bodies.head_radius
    tall -= bodies.points[:, POINT['left_heel'], 1] - 0.028
    assert 0.9 < tall.min() < tall.max() < 1.1
