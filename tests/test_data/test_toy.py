import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import json

import cv2
import numpy as np
import pytest
from mmpose.datasets import CocoDataset

from mmpose_lite import cli
from mmpose_lite.data import generate_toy_coco, render_toy_image
from mmpose_lite.data.keypoints import COCO_KEYPOINTS
from mmpose_lite.data.toy import JPEG_QUALITY, OBSTACLE, Canvas
from mmpose_lite.data.toy_people import (
    ACTIVITIES,
    JOINT_LIMITS,
    PARTS,
    person_shapes,
    pose_body,
    sample_angles,
    sample_body,
    sample_bones,
    sample_look,
)

# MMPose looks for its own meta file in the working folder first and says so.
pytestmark = pytest.mark.filterwarnings('ignore:The metainfo config file:UserWarning')
ARGUMENTS = dict(num_train=6, num_val=3, image_size=(160, 120), seed=7, max_persons=3)


def contents(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    return generate_toy_coco(tmp_path_factory.mktemp('toy'), **ARGUMENTS)


def test_files_are_those_of_a_coco_data_set(toy):
    assert set(contents(toy.root)) == {
        'annotations/person_keypoints_train.json',
        'annotations/person_keypoints_val.json',
        *(f'train/{i:08d}.jpg' for i in range(6)),
        *(f'val/{i:08d}.jpg' for i in range(3)),
    }
    assert toy.written == 9


def test_the_same_arguments_write_the_same_bytes(toy, tmp_path):
    again = generate_toy_coco(tmp_path, **ARGUMENTS)
    assert contents(again.root) == contents(toy.root)
    other = generate_toy_coco(tmp_path / 'other', **{**ARGUMENTS, 'seed': 8})
    firsts = [root / 'train' for root in (toy.root, other.root)]
    firsts = [(f / '00000000.jpg').read_bytes() for f in (*firsts, toy.root / 'val')]
    assert len(set(firsts)) == 3


def test_any_image_can_be_made_again_alone(toy):
    scene = render_toy_image(7, 'val', 2, (160, 120), 3)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    jpeg = cv2.imencode('.jpg', scene.image, options)[1].tobytes()
    assert jpeg == (toy.root / 'val/00000002.jpg').read_bytes()
    assert jpeg.startswith(b'\xff\xd8\xff')
    content = json.loads(toy.annotations['val'].read_text())
    records = [a for a in content['annotations'] if a['image_id'] == 3]
    for record, person in zip(records, scene.persons, strict=True):
        assert record['keypoints'] == person.keypoints.ravel().tolist()
        assert record['bbox'] == list(person.bbox)


def test_annotations_are_cocos(toy):
    content = json.loads(toy.annotations['train'].read_text())
    (category,) = content['categories']
    assert tuple(category['keypoints']) == COCO_KEYPOINTS
    assert [image['id'] for image in content['images']] == list(range(1, 7))
    ids = [record['id'] for record in content['annotations']]
    assert len(set(ids)) == len(ids) >= 6
    for record in content['annotations']:
        flags = record['keypoints'][2::3]
        assert len(flags) == 17
        assert set(flags) <= {0, 1, 2}
        assert record['num_keypoints'] == sum(flag > 0 for flag in flags)
        assert record['iscrowd'] == 0
        assert record['category_id'] == category['id']


def test_mmpose_reads_it(toy):
    data = CocoDataset(
        data_root=str(toy.root),
        data_mode='topdown',
        ann_file='annotations/person_keypoints_val.json',
        data_prefix=dict(img='val/'),
        test_mode=True,
    )
    names = [data.metainfo['keypoint_id2name'][i] for i in range(17)]
    assert tuple(names) == COCO_KEYPOINTS
    records = json.loads(toy.annotations['val'].read_text())['annotations']
    assert len(data) == len(records)
    for i, record in enumerate(records):
        item = data.get_data_info(i)
        expected = np.array(record['keypoints']).reshape(17, 3)
        np.testing.assert_allclose(item['keypoints'][0], expected[:, :2], rtol=1e-6)
        np.testing.assert_array_equal(
            item['keypoints_visible'][0] > 0, expected[:, 2] > 0
        )
        assert cv2.imread(item['img_path']).shape == (120, 160, 3)


def test_a_second_call_draws_nothing(toy):
    before = {p: p.stat().st_mtime_ns for p in toy.root.rglob('*.jpg')}
    assert generate_toy_coco(toy.root, **ARGUMENTS).written == 0
    assert before == {p: p.stat().st_mtime_ns for p in toy.root.rglob('*.jpg')}


def test_a_lost_image_or_another_argument_draws_again(tmp_path):
    first = generate_toy_coco(tmp_path, 3, 2, (96, 64))
    expected = contents(first.root)
    (tmp_path / 'train/00000001.jpg').unlink()
    assert generate_toy_coco(tmp_path, 3, 2, (96, 64)).written == 3
    assert contents(first.root) == expected
    assert generate_toy_coco(tmp_path, 3, 2, (96, 64), max_persons=1).written == 5
    assert contents(first.root) != expected


def test_a_killed_generation_never_looks_complete(tmp_path):
    class Killed(BaseException):
        pass

    def kill(done, total):
        if done == 4:
            raise Killed

    with pytest.raises(Killed):
        generate_toy_coco(tmp_path, 3, 3, (96, 64), progress=kill)
    assert (tmp_path / 'annotations/person_keypoints_train.json').exists()
    assert not (tmp_path / 'annotations/person_keypoints_val.json').exists()
    assert generate_toy_coco(tmp_path, 3, 3, (96, 64)).written == 3
    assert not list(tmp_path.rglob('*.part'))
    whole = generate_toy_coco(tmp_path / 'whole', 3, 3, (96, 64))
    for name, data in contents(whole.root).items():
        assert (tmp_path / name).read_bytes() == data


def test_changed_arguments_invalidate_before_they_write(tmp_path):
    generate_toy_coco(tmp_path, 2, 2, (96, 64))

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_toy_coco(tmp_path, 2, 2, (96, 64), seed=1, progress=stop)
    assert not (tmp_path / 'annotations/person_keypoints_train.json').exists()


def test_progress_counts_both_splits(tmp_path):
    calls = []
    generate_toy_coco(tmp_path, 3, 2, (96, 64), progress=lambda *c: calls.append(c))
    assert calls == [(i, 5) for i in range(1, 6)]


def test_command_draws_and_says_so(tmp_path, capsys):
    words = f'toy-data {tmp_path} --train 2 --val 1 --size 96 64'.split()
    assert cli.main(words) == 0
    assert '3 images written' in capsys.readouterr().out
    assert generate_toy_coco(tmp_path, 2, 1, (96, 64)).written == 0
    assert cli.main(words) == 0
    assert 'all there already' in capsys.readouterr().out
    with pytest.raises(SystemExit) as failed:
        cli.main([*words, '--seed', '-1'])
    assert failed.value.code == 2
    assert '--seed: must be' in capsys.readouterr().err


def test_a_file_is_no_folder(tmp_path):
    path = tmp_path / 'file'
    path.touch()
    with pytest.raises(ValueError, match='out_dir'):
        generate_toy_coco(path, **ARGUMENTS)
    with pytest.raises(ValueError, match='split'):
        render_toy_image(0, 'test', 0)


# --- People -------------------------------------------------------------------------

BODIES = 200
STILL = {name: (0.0, 0.0) for name in JOINT_LIMITS}
FACING = (0.0, 0.0, 0.0)


def bodies():
    rng = np.random.default_rng(0)
    for _ in range(BODIES):
        angles, bones = sample_angles(rng), sample_bones(rng)
        placed = (5.0, 3.0, rng.uniform(-180, 180))
        yield angles, bones, pose_body(angles, placed, bones)


def angle_between(a, b):
    cos = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return np.degrees(np.arccos(np.clip(cos, -1, 1)))


def test_sampled_angles_keep_the_joint_limits_and_reach_beyond_their_middle():
    rng = np.random.default_rng(0)
    samples = [sample_angles(rng) for _ in range(1000)]
    for name, (low, high, _) in JOINT_LIMITS.items():
        values = np.array([angles[name] for angles in samples])
        assert low <= values.min() <= values.max() <= high
        assert np.ptp(values) > 0.4 * (high - low), name


def test_activities_name_known_angles_within_limits():
    for row in ACTIVITIES.values():
        for name, means in row.items():
            low, high, _ = JOINT_LIMITS[name]
            assert (np.array(means) >= low).all()
            assert (np.array(means) <= high).all()


def test_hinges_bend_by_the_sampled_angle_and_bones_keep_their_length():
    for angles, bones, body in bodies():
        for column, side in enumerate(('left', 'right')):
            for joints in (('shoulder', 'elbow', 'wrist'), ('hip', 'knee', 'ankle')):
                start, middle, end = (body.points[f'{side}_{j}'] for j in joints)
                bend = angle_between(middle - start, end - middle)
                assert bend == pytest.approx(angles[joints[1]][column], abs=1e-4)
            arm = body.points[f'{side}_elbow'] - body.points[f'{side}_shoulder']
            assert np.linalg.norm(arm) == pytest.approx(0.182 * bones['elbow'])
            assert 0.88 <= bones['elbow'] <= 1.12


def test_the_left_is_the_persons_left():
    bones = sample_bones(np.random.default_rng(0))
    for yaw, sign in ((0.0, 1), (180.0, -1)):
        at = pose_body(STILL, (0.0, 0.0, yaw), bones).points
        for joint in ('hip', 'shoulder', 'eye'):
            assert sign * (at[f'left_{joint}'] - at[f'right_{joint}'])[0] > 0


def test_knees_bend_backwards_and_elbows_forwards():
    bones = sample_bones(np.random.default_rng(0))
    bent = {**STILL, 'knee': (60.0, 60.0), 'elbow': (60.0, 60.0)}
    at = pose_body(bent, FACING, bones).points
    assert (at['left_ankle'] - at['left_knee'])[2] < 0
    assert (at['left_wrist'] - at['left_elbow'])[2] > 0
    assert (at['nose'] - at['skull'])[2] > 0


def test_relaxed_people_are_about_one_stature_tall():
    rng = np.random.default_rng(0)
    for _ in range(BODIES):
        body = pose_body(STILL, FACING, sample_bones(rng))
        top = body.points['skull'][1] + 1.06 * body.radius
        assert 0.9 < top - body.points['left_heel'][1] + 0.028 < 1.1


# --- Visibility ---------------------------------------------------------------------


def make_person(yaw=0.0, size=400, raise_arms=0.0, look=0):
    """One person in a relaxed stance in the middle of a square image."""
    rng = np.random.default_rng(0)
    arms = dict(shoulder_abduct=(25.0, 25.0), shoulder_flex=(raise_arms, raise_arms))
    angles = {**STILL, **arms, 'hip_abduct': (8.0, 8.0)}
    body = pose_body(angles, (0.0, 0.0, yaw), sample_bones(rng))
    scale, middle = (0.8 * size, -0.8 * size, 1), (0.5 * size, 0.52 * size, 0)
    at = {name: p * scale + middle for name, p in body.points.items()}
    look = sample_look(np.random.default_rng(look))
    placed, light = body._replace(points=at), np.array([-0.6, -0.8])
    canvas = Canvas(np.full((size, size, 3), 200, np.uint8))
    return at, person_shapes(placed, 0.8 * size, look, light), canvas


def flags_of(at, canvas, person=0):
    return dict(zip(COCO_KEYPOINTS, canvas.visibility(at, person), strict=True))


def test_one_who_faces_the_camera_shows_every_body_joint():
    for look in range(4):
        at, shapes, canvas = make_person(look=look)
        canvas.draw_person(shapes, 0)
        hidden = {name for name, flag in flags_of(at, canvas).items() if flag != 2}
        assert hidden <= {'left_ear', 'right_ear'}  # long hair may cover the ears


def test_one_who_turns_the_back_hides_the_face_only():
    at, shapes, canvas = make_person(yaw=180)
    canvas.draw_person(shapes, 0)
    flags = flags_of(at, canvas)
    assert {flags[name] for name in ('nose', 'left_eye', 'right_eye')} == {1}
    assert {flags[f'left_{j}'] for j in ('shoulder', 'hip', 'knee', 'ankle')} == {2}


def test_in_profile_the_far_shoulder_and_hip_are_hidden():
    for yaw, near, far in ((90, 'right', 'left'), (-90, 'left', 'right')):
        at, shapes, canvas = make_person(yaw=yaw, raise_arms=70)
        canvas.draw_person(shapes, 0)
        flags = flags_of(at, canvas)
        assert flags[f'{near}_shoulder'] == flags[f'{near}_hip'] == 2
        assert flags[f'{far}_shoulder'] == flags[f'{far}_hip'] == 1
        assert flags[f'{far}_eye'] == 1


def test_what_an_object_covers_is_hidden_and_nothing_else():
    at, shapes, canvas = make_person()
    canvas.draw_person(shapes, 0)
    before = flags_of(at, canvas)
    top = 0.5 * (at['left_hip'][1] + at['left_knee'][1])
    box = np.array([(0, top), (400, top), (400, 400), (0, 400)]) * 16
    canvas.draw([(box.astype(np.int32), (0, 0, 0))], OBSTACLE)
    after = flags_of(at, canvas)
    legs = {f'{s}_{j}' for s in ('left', 'right') for j in ('knee', 'ankle')}
    assert {name for name in after if after[name] != before[name]} == legs
    assert {after[name] for name in legs} == {1}


def test_a_person_in_front_hides_one_behind():
    at, shapes, canvas = make_person()
    canvas.draw_person(shapes, 0)
    canvas.draw_person(shapes, 1)  # at the very same place
    assert set(flags_of(at, canvas, person=0).values()) == {1}
    assert 2 in flags_of(at, canvas, person=1).values()


@pytest.mark.parametrize(
    ('part', 'flag'),
    [('left_upper_arm', 2), ('left_forearm', 2), ('right_forearm', 1), ('chest', 1)],
)
def test_the_part_on_top_decides(part, flag):
    canvas = Canvas(np.zeros((10, 10, 3), np.uint8))
    canvas.ids[:] = 1 + len(PARTS) + PARTS.index(part)
    at = {name: np.full(3, 4.0) for name in COCO_KEYPOINTS}
    assert flags_of(at, canvas, 1)['left_elbow'] == flag
    at['left_elbow'] = np.array([9.6, 4, 0])  # rounds to column 10 of 10
    assert flags_of(at, canvas, 1)['left_elbow'] == 0


def test_joints_sit_in_the_parts_that_meet_there():
    meeting = {
        'elbow': ('upper_arm', 'forearm'), 'wrist': ('forearm', 'hand'),
        'knee': ('thigh', 'shank'), 'shoulder': ('upper_arm',), 'hip': ('thigh',),
        'ankle': ('shank', 'foot'),
    }  # fmt: skip
    rng = np.random.default_rng(3)
    for _ in range(6):
        body, look = sample_body(rng), sample_look(rng)
        at = {k: p * (200, -200, 1) + (150, 150, 0) for k, p in body.points.items()}
        placed = body._replace(points=at)
        outlines = {}
        for shape in person_shapes(placed, 200.0, look, np.zeros(2)):
            outlines.setdefault(shape.part, shape.layers[0][0] / 16)
        for side in ('left', 'right'):
            for joint, parts in meeting.items():
                point = at[f'{side}_{joint}'][:2].tolist()
                for part in parts:
                    outline = outlines[f'{side}_{part}'].astype(np.float32)
                    assert cv2.pointPolygonTest(outline[:, None], point, True) > 0.5


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
            assert min(x, y) >= 0
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
