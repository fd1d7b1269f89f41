"""The one reader of COCO annotations."""

import json

import pytest

from mmpose_lite.data.coco import corners, read_coco

POINTS = [5.0, 6.0, 2, 0, 0, 0]


def person(number=1, **values):
    given = dict(id=number, image_id=7, category_id=1, bbox=[2, 3, 10, 20])
    return given | dict(keypoints=POINTS) | values


def content(*people, categories=None):
    images = [dict(id=7, file_name='a.jpg', width=50, height=40)]
    kinds = [dict(id=1, keypoints=['a', 'b'])] if categories is None else categories
    return dict(images=images, annotations=list(people), categories=kinds)


@pytest.fixture
def read(tmp_path):
    def call(given):
        path = tmp_path / 'people.json'
        path.write_text(given if isinstance(given, str) else json.dumps(given))
        return read_coco(path)

    return call


def test_people_are_read_with_corners_and_keypoints(read):
    (image,) = read(content(person(area=60)))
    assert (image.id, image.name) == (7, 'a.jpg')
    (found,) = image.people
    assert found.box == (2, 3, 12, 23)
    assert found.keypoints.tolist() == [[5, 6, 2], [0, 0, 0]]
    assert found.labelled
    assert found.area == 60
    assert found.record['id'] == 1


def test_area_is_estimated_from_the_box(read):
    (image,) = read(content(person()))
    assert image.people[0].area == pytest.approx(0.53 * 10 * 20)


@pytest.mark.parametrize(
    'values',
    [dict(iscrowd=1), dict(category_id=18), dict(bbox=[2, 3, 0, 20])],
)
def test_whom_mmpose_leaves_out_is_left_out(read, values):
    (image,) = read(content(person(), person(2, **values)))
    assert [p.record['id'] for p in image.people] == [1]


def test_people_are_of_the_categories_with_keypoints(read):
    kinds = [dict(id=1, name='person'), dict(id=5, keypoints=['tail'])]
    given = content(person(), person(2, category_id=5), categories=kinds)
    assert [p.record['id'] for p in read(given)[0].people] == [2]
    # Files of boxes name no keypoints; category 1 is COCO's person.
    boxes = person(keypoints=None)
    given = content(boxes, person(2, category_id=18), categories=kinds[:1])
    (found,) = read(given)[0].people
    assert found.keypoints.shape == (0, 3)
    assert not found.labelled


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ('{', r'people\.json: it is no json'),
        ('[' * 100_000, 'no json'),
        ([], 'no COCO json'),
        (dict(images=[]), 'no COCO json'),
        (dict(images=[dict(id=1)], annotations=[]), r"people\.json lacks 'file_name'"),
        (content(person(bbox=None)), r'people\.json: annotation 1: bbox must be 4'),
        (content(person(bbox=[1, 2, 3])), 'annotation 1: bbox must be 4'),
        (content(person(bbox=[1, 2, 3, float('nan')])), 'bbox must be 4 finite'),
        (content(person(keypoints=[1, 2])), 'annotation 1: '),
        (content(person(image_id=8)), r'images that it lacks: \{8\}'),
    ],
)
def test_damage_is_reported_with_file_and_annotation(read, given, message):
    with pytest.raises(ValueError, match=message):
        read(given)


def test_missing_file_is_no_damage(tmp_path):
    with pytest.raises(FileNotFoundError, match='absent'):
        read_coco(tmp_path / 'absent.json')


def test_corners():
    assert corners([1, 2, 3, 4.5]) == (1, 2, 4, 6.5)
    with pytest.raises(ValueError, match="got 'abcd'"):
        corners('abcd')
