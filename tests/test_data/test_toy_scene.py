import cv2
import numpy as np
import pytest

from mmpose_lite.data import render_toy_image
from mmpose_lite.data.toy_body import KEYPOINTS, POINT, pose_bodies
from mmpose_lite.data.toy_look import sample_look
from mmpose_lite.data.toy_parts import PART, PARTS
from mmpose_lite.data.toy_person import people_shapes
from mmpose_lite.data.toy_pose import (
    sample_angles,
    sample_bones,
    sample_roots,
)
from mmpose_lite.data.toy_scene import OBSTACLE, Canvas, visibility

JOINT = {name: i for i, name in enumerate(KEYPOINTS)}


def make_person(seed=0, yaw=0.0, size=400, raise_arms=0.0):
    """One person in a relaxed stance in the middle of a square image."""
    rng = np.random.default_rng(seed)
    angles = {k: np.zeros((1, 2)) for k in sample_angles(rng, 1)}
    angles['shoulder_abduct'] += 25
    angles['shoulder_flex'] += raise_arms
    angles['hip_abduct'] += 8
    bodies = pose_bodies(angles, np.array([[0, 0, yaw]]), sample_bones(rng, 1))
    stature = np.array([0.8 * size])
    xy = bodies.points[..., :2] * (1, -1) * stature + (0.5 * size, 0.52 * size)
    looks = [sample_look(rng)]
    shapes = people_shapes(bodies, xy, stature, looks, np.array([-0.6, -0.8]))[0]
    canvas = Canvas(np.full((size, size, 3), 200, np.uint8))
    return bodies, xy, shapes, canvas


def flags_of(bodies, xy, canvas, person=0):
    joints = len(KEYPOINTS)
    found = visibility(xy[0, :joints], bodies.points[0, :joints, 2], canvas.ids, person)
    return dict(zip(KEYPOINTS, found.tolist(), strict=True))


def test_one_who_faces_the_camera_shows_every_body_joint():
    bodies, xy, shapes, canvas = make_person(yaw=0)
    canvas.draw_person(shapes, 0)
    flags = flags_of(bodies, xy, canvas)
    hidden = {name for name, flag in flags.items() if flag != 2}
    assert hidden <= {'left_ear', 'right_ear'}  # long hair may cover the ears


def test_a_hanging_hand_hides_the_hip_behind_it():
    bodies, xy, shapes, canvas = make_person(yaw=90)
    canvas.draw_person(shapes, 0)
    assert flags_of(bodies, xy, canvas)['right_hip'] == 1


def test_one_who_turns_the_back_hides_the_face_only():
    bodies, xy, shapes, canvas = make_person(yaw=180)
    canvas.draw_person(shapes, 0)
    flags = flags_of(bodies, xy, canvas)
    assert {flags[name] for name in ('nose', 'left_eye', 'right_eye')} == {1}
    assert {flags[f'left_{j}'] for j in ('shoulder', 'hip', 'knee', 'ankle')} == {2}


def test_in_profile_the_far_shoulder_and_hip_are_hidden():
    for yaw, near, far in ((90, 'right', 'left'), (-90, 'left', 'right')):
        bodies, xy, shapes, canvas = make_person(yaw=yaw, raise_arms=70)
        canvas.draw_person(shapes, 0)
        flags = flags_of(bodies, xy, canvas)
        assert flags[f'{near}_shoulder'] == flags[f'{near}_hip'] == 2
        assert flags[f'{far}_shoulder'] == flags[f'{far}_hip'] == 1
        assert flags[f'{far}_eye'] == 1


def test_what_an_object_covers_is_hidden_and_nothing_else():
    bodies, xy, shapes, canvas = make_person()
    canvas.draw_person(shapes, 0)
    before = flags_of(bodies, xy, canvas)
    top = 0.5 * (xy[0, JOINT['left_hip'], 1] + xy[0, JOINT['left_knee'], 1])
    box = np.array([(0, top), (400, top), (400, 400), (0, 400)]) * 16
    canvas.draw(box.astype(np.int32), (0, 0, 0), OBSTACLE)
    after = flags_of(bodies, xy, canvas)
    legs = {f'{s}_{j}' for s in ('left', 'right') for j in ('knee', 'ankle')}
    assert {name for name in after if after[name] != before[name]} == legs
    assert {after[name] for name in legs} == {1}


def test_a_person_in_front_hides_one_behind():
    bodies, xy, shapes, canvas = make_person()
    canvas.draw_person(shapes, 0)
    canvas.draw_person(shapes, 1)  # at the very same place
    assert set(flags_of(bodies, xy, canvas, person=0).values()) == {1}
    assert 2 in flags_of(bodies, xy, canvas, person=1).values()


@pytest.mark.parametrize(
    ('part', 'flag'),
    [('left_upper_arm', 2), ('left_forearm', 2), ('right_forearm', 1), ('chest', 1)],
)
def test_the_part_on_top_decides(part, flag):
    ids = np.full((10, 10), 1 + len(PARTS) + PART[part], np.uint8)
    joints = np.full((len(KEYPOINTS), 2), 4.0)
    found = visibility(joints, np.zeros(len(KEYPOINTS)), ids, person=1)
    assert found[JOINT['left_elbow']] == flag
    joints[JOINT['left_elbow']] = (9.6, 4)  # rounds to column 10 of 10
    found = visibility(joints, np.zeros(len(KEYPOINTS)), ids, person=1)
    assert found[JOINT['left_elbow']] == 0


def test_joints_sit_in_the_parts_that_meet_there():
    meeting = {
        'elbow': ('upper_arm', 'forearm'), 'wrist': ('forearm', 'hand'),
        'knee': ('thigh', 'shank'), 'shoulder': ('upper_arm',), 'hip': ('thigh',),
        'ankle': ('shank',),
    }  # fmt: skip
    rng = np.random.default_rng(3)
    num = 6
    bones = sample_bones(rng, num)
    bodies = pose_bodies(sample_angles(rng, num), sample_roots(rng, num), bones)
    stature = np.full(num, 200.0)
    xy = bodies.points[..., :2] * (1, -1) * 200 + (150, 150)
    looks = [sample_look(rng) for _ in range(num)]
    for i, shapes in enumerate(people_shapes(bodies, xy, stature, looks, np.zeros(2))):
        outlines = {}
        for shape in shapes:
            outlines.setdefault(shape.part, shape.polygons[0] / 16)
        for side in ('left', 'right'):
            for joint, parts in meeting.items():
                point = xy[i, POINT[f'{side}_{joint}']]
                for part in parts:
                    outline = outlines[PART[f'{side}_{part}']].astype(np.float32)
                    depth = cv2.pointPolygonTest(outline[:, None], point.tolist(), True)
                    assert depth > 0.5, (side, joint, part)


@pytest.mark.parametrize('size', [(320, 240), (96, 160), (101, 75)])
def test_annotations_agree_with_the_image(size):
    seen = set()
    for index in range(25):
        scene = render_toy_image(5, 'val', index, size, max_persons=4)
        assert scene.image.shape == (size[1], size[0], 3)
        assert scene.image.dtype == np.uint8
        assert 1 <= len(scene.persons) <= 4
        for person in scene.persons:
            x, y, width, height = person.bbox
            assert x >= 0
            assert y >= 0
            assert x + width <= size[0]
            assert y + height <= size[1]
            assert 0 < person.area <= (width + 1) * (height + 1)
            points, flags = person.keypoints[:, :2], person.keypoints[:, 2]
            labelled = points[flags > 0]
            assert (points[flags == 0] == 0).all()
            assert (labelled >= -0.5).all()
            assert (labelled < np.array(size) - 0.49).all()
            box = np.array([(x, y), (x + width, y + height)])
            assert (labelled >= box[0] - 1).all()
            assert (labelled <= box[1] + 1).all()
            seen |= set(flags.tolist())
    assert seen == {0, 1, 2}


def test_colours_really_differ_from_image_to_image():
    images = [render_toy_image(0, 'train', i, (96, 96)).image for i in range(8)]
    means = np.array([image.mean((0, 1)) for image in images])
    assert means.std(0).min() > 5
