import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import json

import cv2
import numpy as np
import pytest
from mmpose.datasets import CocoDataset

from mmpose_lite.data import generate_toy_coco, render_toy_image
from mmpose_lite.data.toy_body import KEYPOINTS
from mmpose_lite.data.toy_coco import JPEG_QUALITY, SKELETON

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
    assert (other.root / 'train/00000000.jpg').read_bytes() != (
        toy.root / 'train/00000000.jpg'
    ).read_bytes()
    splits = [(toy.root / s / '00000000.jpg').read_bytes() for s in ('train', 'val')]
    assert splits[0] != splits[1]


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
    assert tuple(category['keypoints']) == KEYPOINTS
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


def coco_dataset(toy, **options):
    return CocoDataset(
        data_root=str(toy.root),
        data_mode='topdown',
        ann_file='annotations/person_keypoints_val.json',
        data_prefix=dict(img='val/'),
        **options,
    )


def test_mmpose_reads_it(toy):
    data = coco_dataset(toy, test_mode=True)
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


def test_names_and_links_are_those_of_mmposes_coco(toy):
    meta = coco_dataset(toy).metainfo
    names = [meta['keypoint_id2name'][i] for i in range(17)]
    assert tuple(names) == KEYPOINTS
    ours = {frozenset((a - 1, b - 1)) for a, b in SKELETON}
    assert ours == {frozenset(link) for link in meta['skeleton_links']}


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


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('num_train', 0), ('num_train', 2.5), ('num_train', True),
        ('num_val', -1), ('num_val', 10**9), ('seed', -1), ('seed', 2**32),
        ('seed', '3'), ('max_persons', 0), ('max_persons', 9),
        ('image_size', 320), ('image_size', (320,)), ('image_size', (320, 10)),
        ('image_size', (99999, 240)), ('image_size', (320.0, 240)),
    ],
)  # fmt: skip
def test_absurd_arguments_are_refused_by_name(tmp_path, name, value):
    with pytest.raises(ValueError, match=name):
        generate_toy_coco(tmp_path / 'out', **{**ARGUMENTS, name: value})
    assert not (tmp_path / 'out').exists()


def test_a_file_is_no_folder(tmp_path):
    path = tmp_path / 'file'
    path.touch()
    with pytest.raises(ValueError, match='out_dir'):
        generate_toy_coco(path, **ARGUMENTS)
    with pytest.raises(ValueError, match='split'):
        render_toy_image(0, 'test', 0)
