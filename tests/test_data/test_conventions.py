"""Numbers of COCO files that are meant otherwise than COCO means them."""

import copy
import json

import numpy as np
import pytest
from command_line import run_verb
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from mmpose_lite.data import check_annotations, fill_annotations, render_toy_image
from mmpose_lite.data.keypoints import COCO_KEYPOINTS

WIDTH, HEIGHT = SIZE = 320, 240


def toy_annotations(count=12):
    """Drawn people in COCO's format."""
    people = [
        (image, person)
        for image in range(count)
        for person in render_toy_image(0, 'val', image).persons
    ]
    return dict(
        images=[
            dict(id=i, file_name=f'{i}.jpg', width=WIDTH, height=HEIGHT)
            for i in range(count)
        ],
        categories=[dict(id=1, name='person', keypoints=COCO_KEYPOINTS)],
        annotations=[
            dict(
                id=number,
                image_id=image,
                category_id=1,
                bbox=[float(v) for v in person.bbox],
                area=person.area,
                keypoints=np.asarray(person.keypoints, float).ravel().tolist(),
                num_keypoints=int((person.keypoints[:, 2] > 0).sum()),
                iscrowd=0,
            )
            for number, (image, person) in enumerate(people)
        ],
    )


TOY = toy_annotations()


def in_file(folder, change):
    """Findings about the whole file once every person is changed."""
    content = copy.deepcopy(TOY)
    for person in content['annotations']:
        change(person)
    path = folder / 'people.json'
    path.write_text(json.dumps(content))
    found = check_annotations(path).findings
    return [(f.grade, f.what) for f in found if f.kind == 'annotations']


def points(convert):
    """Changes the places of keypoints ``(17, 2)`` by their box."""

    def change(person):
        rows = np.array(person['keypoints']).reshape(-1, 3)
        rows[:, :2] = convert(rows[:, :2], np.array(person['bbox']))
        person['keypoints'] = rows.ravel().tolist()

    return change


def boxes(convert):
    def change(person):
        person['bbox'] = [float(v) for v in convert(np.array(person['bbox']))]

    return change


def both(person):
    points(lambda xy, box: xy / SIZE)(person)
    boxes(lambda box: box / (SIZE * 2))(person)


def test_people_as_they_should_be(tmp_path):
    assert in_file(tmp_path, lambda person: None) == []


@pytest.mark.parametrize(
    ('change', 'what'),
    [
        (points(lambda xy, box: xy / SIZE), 'keypoints look like parts of the image'),
        (points(lambda xy, box: 100 * xy / SIZE), 'keypoints look like per cent'),
        (points(lambda xy, box: xy - box[:2]), 'look relative to their boxes, in px'),
        (points(lambda xy, box: (xy - box[:2]) / box[2:]), 'look like parts of their'),
        (boxes(lambda b: [*b[:2], *(b[:2] + b[2:])]), 'left, top, right, bottom'),
        (boxes(lambda b: [*(b[:2] + b[2:] / 2), *b[2:]]), 'centre, width, height'),
        (boxes(lambda b: b / (SIZE * 2)), 'boxes look like parts of the image'),
        (both, 'boxes and keypoints look like parts of the image'),
    ],
)
def test_other_convention_is_named_and_fatal(tmp_path, change, what):
    found = in_file(tmp_path, change)
    assert [grade for grade, text in found if what in text] == ['fatal']


@pytest.mark.parametrize('area', [0, 1, -5, 1e9])
def test_areas_of_no_person(tmp_path, area):
    (found,) = in_file(tmp_path, lambda person: person.update(area=area))
    count = len(TOY['annotations'])
    assert found[0] == 'error'
    assert found[1].startswith(f'the area of {count} of {count} people')

    def one(person):
        if person['id'] == 2:
            person['area'] = area

    (found,) = in_file(tmp_path, one)
    assert found[0] == 'warning'
    assert f'the area of 1 of {count} people' in found[1]
    assert 'annotation 2:' in found[1]


def test_missing_keypoints_as_visible_ones_in_the_corner(tmp_path):
    def change(person):
        person['keypoints'][:3] = [0, 0, 2]

    (found,) = in_file(tmp_path, change)
    assert found[0] == 'error'
    assert 'visible keypoints lie at exactly (0, 0)' in found[1]


def test_people_who_stand_in_it_twice(tmp_path):
    content = copy.deepcopy(TOY)
    double = copy.deepcopy(content['annotations'][0])
    double.update(
        id=1000,
        keypoints=[v + 0.1 * (i % 3 < 2) for i, v in enumerate(double['keypoints'])],
    )
    content['annotations'].append(double)
    path = tmp_path / 'people.json'
    path.write_text(json.dumps(content))
    (found,) = check_annotations(path).findings
    assert found.grade == 'warning'
    assert found.what.startswith('1 stand in it twice, such as annotations 0 and 1000')


def average_precision(content):
    """AP of people who are found where they are, as MMPose evaluates."""
    truth = COCO()
    truth.dataset = copy.deepcopy(content)
    truth.createIndex()
    found = truth.loadRes(
        [
            dict(
                image_id=person['image_id'],
                category_id=1,
                keypoints=person['keypoints'],
                score=0.9,
            )
            for person in TOY['annotations']
        ]
    )
    run = COCOeval(truth, found, 'keypoints', np.full(17, 0.1))
    run.evaluate()
    run.accumulate()
    run.summarize()
    return run.stats[0]


@pytest.mark.parametrize(
    ('name', 'value', 'ball'),
    [
        ('area', 'gone', False),
        ('area', None, False),
        ('keypoints', 'gone', False),
        ('keypoints', None, False),
        ('iscrowd', None, False),
        # Of another category, without keypoints.
        ('keypoints', 'gone', True),
        ('keypoints', None, True),
        ('iscrowd', None, True),
    ],
)
def test_what_evaluation_needs_is_reported_and_filled_in(tmp_path, name, value, ball):
    content = copy.deepcopy(TOY)
    other = dict(content['annotations'][0], id=900, category_id=2, num_keypoints=0)
    other['keypoints'] = [0] * 51
    content['annotations'].append(other)
    content['categories'].append(dict(id=2, name='ball'))
    changed = content['annotations'][-1 if ball else 3]
    changed[name] = value
    if value == 'gone':
        del changed[name]
    source, target = tmp_path / 'a.json', tmp_path / 'b.json'
    source.write_text(json.dumps(content))
    # Else MMPose's evaluation would end in a KeyError or a TypeError, hours later.
    with pytest.raises((KeyError, TypeError, IndexError)):
        average_precision(content)
    found = [f.what for f in check_annotations(source).findings if f.grade == 'error']
    assert found[0].startswith(f'1 annotations have no {name}, such as {changed["id"]}')
    ended = run_verb('check-data', source, tmp_path, '--mend', target)
    assert f'b.json: 1 {name}' in ended.out
    filled = json.loads(target.read_text())
    assert average_precision(filled) == pytest.approx(1)
    if name == 'area':
        box = changed['bbox']
        area = filled['annotations'][-1 if ball else 3]['area']
        assert area == pytest.approx(0.53 * box[2] * box[3])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(annotations=[3]), 'its annotations must be objects'),
        (dict(categories=None), 'it has no categories'),
        ([], 'it must hold an object'),
    ],
)
def test_what_is_no_coco_file_is_not_filled_in(change, message):
    content = {**TOY, **change} if change else change
    with pytest.raises(ValueError, match=message):
        fill_annotations(content)


def test_nothing_is_filled_in_from_damaged_boxes_or_no_categories():
    person = dict(id=1, image_id=0, category_id=1, bbox=['a', None])
    content = {**TOY, 'categories': [], 'annotations': [person]}
    filled, counts = fill_annotations(content)
    assert filled['annotations'] == [
        {**person, 'keypoints': [], 'num_keypoints': 0, 'iscrowd': 0}
    ]
    assert counts == dict(keypoints=1, num_keypoints=1, iscrowd=1)
