"""Data checks: what is found, what is let through, and the command."""

import json

import pytest

from mmpose_lite import cli
from mmpose_lite.data import (
    check_annotations,
    check_images,
    generate_toy_coco,
    image_list,
)
from mmpose_lite.data.annotations import person_faults
from mmpose_lite.data.image_files import image_faults
from mmpose_lite.io.images import ImageFacts

SIZE = (160, 120)
POINTS = [50, 40, 2] * 17


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    out = tmp_path_factory.mktemp('toy')
    return generate_toy_coco(out, num_train=6, num_val=1, image_size=SIZE)


def all_findings(annotations, folder, **options):
    found = check_annotations(annotations)
    return found.findings + list(check_images(image_list(found), folder, **options))


@pytest.mark.parametrize('decode', [False, True])
def test_toy_data_are_clean(toy, decode):
    for split in ('train', 'val'):
        assert not all_findings(
            toy.annotations[split], toy.images[split], decode=decode
        )


@pytest.mark.parametrize('split', ['train', 'val'])
def test_real_data_have_no_errors(shared, split):
    root = shared / 'data' / 'coco_mini'
    path = root / 'annotations' / f'person_keypoints_{split}2017.json'
    found = all_findings(path, root / f'{split}2017', decode=True)
    assert [f for f in found if f.grade != 'warning'] == []


def test_people_without_keypoints_are_counted(toy, tmp_path):
    content = json.loads(toy.annotations['train'].read_text())
    content['annotations'][0].update(keypoints=[0] * 51, num_keypoints=0)
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    found = check_annotations(path)
    assert found.findings == []
    assert found.counts['unlabelled'] == 1
    assert found.counts['images'] == 6
    assert found.counts['persons'] == len(content['annotations'])


def faults(size=SIZE, categories=None, count=0, **changes):
    record = dict(
        id=1, image_id=1, category_id=1, bbox=[10, 10, 60, 80], keypoints=POINTS
    )
    record.update(changes)
    return list(person_faults(record, size, categories, count))


@pytest.mark.parametrize(
    'changes',
    [
        {},
        dict(categories={1: 17}),
        dict(count=17),
        dict(bbox=[0, 0, 160, 120]),
        dict(bbox=[-5, -5, 170, 130]),
        dict(num_keypoints=17, area=100.5, iscrowd=0),
        dict(keypoints=[0, 0, 0] * 16 + [30, 30, 1], num_keypoints=1),
        dict(keypoints=None),
    ],
)
def test_usual_people_have_no_faults(changes):
    assert faults(**changes) == []


@pytest.mark.parametrize(
    ('x', 'grade'),
    [(159, None), (160 + 160, None), (160 + 161, 'error'), (-161, 'error')],
)
def test_far_is_farther_than_the_image_is_large(x, grade):
    found = faults(keypoints=[x, 40, 2] * 17)
    assert [f[0] for f in found] == ([grade] if grade else [])


@pytest.mark.parametrize(
    ('box', 'word'),
    [
        ([159, 10, 30, 30], 'outside'),  # MMPose cuts at the last pixel's middle
        ([10, -31, 30, 30], 'outside'),
        ([10, 10, 0, 30], 'empty'),
        ([10, 10, -1, 30], 'inverted'),
        ([10, 10, float('nan'), 30], 'not finite'),
    ],
)
def test_boxes_of_which_nothing_is_left(box, word):
    ((grade, what),) = faults(bbox=box)
    assert grade == 'error'
    assert word in what
    # Nobody is lost where MMPose uses nobody.
    ((grade, what),) = faults(bbox=box, iscrowd=1)
    assert grade == 'warning'


def test_box_that_just_reaches_into_the_image_is_kept():
    assert [f[0] for f in faults(bbox=[158, 10, 30, 30])] == ['warning']


def test_other_numbers_of_keypoints():
    assert faults(count=14) == [('error', 'it has 17 keypoints instead of 14')]
    assert faults(categories={1: 14}) == faults(count=14)
    assert faults(categories={1: 14}, count=17) == []


def test_faults_of_sizes():
    def grades(facts, annotated=None):
        return [fault[0] for fault in image_faults(facts, annotated)]

    assert grades(ImageFacts(SIZE), SIZE) == []
    assert grades(ImageFacts(SIZE), (120, 160)) == ['error']
    assert grades(ImageFacts(SIZE, orientation=6), (120, 160)) == ['warning']
    assert grades(ImageFacts(SIZE, orientation=6), SIZE) == ['error']
    assert grades(ImageFacts(SIZE, orientation=3), SIZE) == ['warning']
    assert grades(ImageFacts((1, 1)), (1, 1)) == ['error']
    assert grades(ImageFacts((8, 8))) == ['warning']
    assert grades(ImageFacts((12_000, 9_000))) == ['warning']
    assert grades(ImageFacts((40_000, 100))) == ['error']
    assert grades(ImageFacts(SIZE, 'CMYK')) == ['warning']
    assert grades(ImageFacts(SIZE, bits=16)) == ['warning']


def test_images_are_checked_in_order_and_counted(toy):
    rows = [(i, f'{i}.jpg', None) for i in range(500)]
    done = []
    found = check_images(
        rows, toy.images['train'], workers=3, advance=lambda: done.append(1)
    )
    assert [f.id for f in found] == list(range(500))
    assert len(done) == 500


def test_command_lists_and_tells_by_its_exit_code(toy, tmp_path, capsys):
    content = json.loads(toy.annotations['train'].read_text())
    content['annotations'][1]['bbox'] = [0, 0, 0, 0]
    path, out = tmp_path / 'a.json', tmp_path / 'found.json'
    path.write_text(json.dumps(content))

    def call(*words):
        return cli.main(['check-data', *map(str, words)])

    assert call(path, toy.images['train'], '--json', out) == 1
    (row,) = json.loads(out.read_text())
    number = content['annotations'][1]['id']
    assert (row['grade'], row['kind'], row['id']) == ('error', 'person', number)
    said = capsys.readouterr().out
    assert f'(annotation {number})' in said
    assert row['file'] in said
    assert call(toy.annotations['train'], toy.images['train']) == 0
    assert 'nothing wrong' in capsys.readouterr().out
    with pytest.raises(SystemExit) as failed:
        call(path, tmp_path / 'nowhere')
    assert failed.value.code == 1
    assert 'IMAGES must be a folder' in capsys.readouterr().err
    with pytest.raises(SystemExit) as refused:
        call(path, toy.images['train'], '--workers', '0')
    assert refused.value.code == 2
