import json

import numpy as np
import pytest

from mmpose_lite.inference import Frame, Results, open_source, read_boxes

OWN = {'a.jpg': [[0, 1, 20, 31], [5, 5, 9, 9, 0.1]], 'b.jpg': []}
ANNOTATIONS = dict(
    images=[
        dict(id=785, file_name='x/000000000785.jpg'),
        dict(id=3, file_name='c.png'),
    ],
    categories=[dict(id=1, name='Person'), dict(id=18, name='dog')],
    annotations=[
        dict(image_id=785, category_id=1, bbox=[1, 2, 10, 20], iscrowd=0),
        dict(image_id=785, category_id=1, bbox=[1, 2, 10, 20], iscrowd=1),
        dict(image_id=785, category_id=18, bbox=[1, 2, 10, 20], iscrowd=0),
        dict(image_id=785, category_id=1, bbox=[1, 2, 0, 20], iscrowd=0),
    ],
)
DETECTIONS = [
    dict(image_id=785, category_id=1, bbox=[1, 2, 10, 20], score=0.9),
    dict(image_id=785, category_id=1, bbox=[3, 2, 10, 20], score=0.2),
]


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / 'boxes.json'
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def of(found, path, number=None):
    """Boxes of an image that lies at a path."""
    return found.of(Frame(path.split('/')[-1], None, path=path, number=number))[0]


def test_boxes_by_name(written):
    found = read_boxes(written(OWN))
    assert of(found, '/x/a.jpg').tolist() == [[0, 1, 20, 31, 1]]
    assert of(found, '/x/b.jpg').shape == (0, 5)
    with pytest.raises(ValueError, match=r'boxes\.json holds no boxes of it'):
        of(found, '/x/c.jpg')


def test_threshold(written):
    found = read_boxes(written(OWN), threshold=0.1)
    assert np.allclose(of(found, 'a.jpg')[1], [5, 5, 9, 9, 0.1])


def test_annotations_give_persons_and_numbers(written):
    found = read_boxes(written(ANNOTATIONS))
    frame = Frame('000000000785.jpg', None, path='/d/000000000785.jpg')
    boxes, number = found.of(frame)
    assert (boxes.tolist(), number) == ([[1, 2, 11, 22, 1]], 785)
    assert of(found, 'c.png').shape == (0, 5)
    with pytest.raises(ValueError, match='holds no boxes'):
        of(found, 'd.png')


def test_detections_name_images_by_number(written):
    found = read_boxes(written(DETECTIONS))
    assert np.allclose(of(found, 'd/000000000785.jpg'), [[1, 2, 11, 22, 0.9]])
    assert np.allclose(of(found, 'film_785', 785), [[1, 2, 11, 22, 0.9]])
    # A detector that found nothing leaves no trace of an image.
    assert of(found, 'd.png').shape == (0, 5)


def people_of(*names, **values):
    """Annotations of one person on each image, 10 px further right each time."""
    return dict(
        images=[dict(id=i, file_name=name) for i, name in enumerate(names)],
        categories=[dict(id=1, name='person')],
        annotations=[
            dict(image_id=i, category_id=1, bbox=[10 * i, 0, 5, 5]) | values
            for i in range(len(names))
        ],
    )


def test_names_with_folders_are_matched_as_far_as_they_agree(written):
    names = 'walk_a/f_0.jpg', 'walk_b/f_0.jpg', 'walk_b\\f_1.jpg'
    found = read_boxes(written(people_of(*names)))
    for path, left in (
        ('/d/walk_a/f_0.jpg', 0),
        ('/d/walk_b/f_0.jpg', 10),
        ('/elsewhere/f_1.jpg', 20),
    ):
        assert of(found, path)[0, 0] == left
    with pytest.raises(ValueError, match=r'may be walk_a/f_0\.jpg or walk_b/f_0\.jpg'):
        of(found, '/elsewhere/f_0.jpg')


def test_name_of_two_images_is_refused(written):
    with pytest.raises(ValueError, match=r'0 and 1 are both a\.jpg'):
        read_boxes(written(people_of('a.jpg', 'a.jpg')))


def detection(category, left):
    row = dict(image_id=3, bbox=[left, 2, 10, 20], score=0.9, category_id=category)
    return {key: value for key, value in row.items() if value is not None}


@pytest.mark.parametrize('category', [0, 1, 9, '1', None])
def test_only_category_of_detections_is_that_of_people(written, category):
    found = read_boxes(written([detection(category, 7)]))
    assert of(found, '3.jpg')[0, 0] == 7
    assert found.category == (1 if category is None else category)


def test_category_of_detections_must_be_chosen_among_several(written):
    path = written([detection(1, 7), detection(2, 8)])
    with pytest.raises(ValueError, match=r'boxes\.json: .*one of 1, 2; got none'):
        read_boxes(path)
    found = read_boxes(path, category='2')
    assert (of(found, '3.jpg')[:, 0].tolist(), found.category) == ([8], 2)


@pytest.mark.parametrize(
    ('categories', 'wanted', 'left'),
    [
        ([(1, 'bicycle', []), (2, 'person', [])], None, 8),
        ([(1, 'bicycle', []), (2, 'rider', ['nose'])], None, 8),
        ([(1, 'person', []), (2, 'rider', ['nose'])], 'person', 7),
        ([(1, 'bicycle', []), (2, 'rider', [])], 'rider', 8),
    ],
)
def test_category_of_annotations(written, categories, wanted, left):
    content = people_of('a.jpg')
    content['categories'] = [
        dict(id=i, name=name, keypoints=keypoints) for i, name, keypoints in categories
    ]
    content['annotations'] = [
        dict(image_id=0, category_id=i, bbox=[6 + i, 0, 5, 5]) for i in (1, 2)
    ]
    found = read_boxes(written(content), category=wanted)
    assert of(found, 'a.jpg')[:, 0].tolist() == [left]
    assert found.category == left - 6


def test_category_that_nothing_tells_is_asked_for(written):
    content = people_of('a.jpg')
    content['categories'] = [dict(id=1, name='bicycle'), dict(id=2, name='rider')]
    with pytest.raises(ValueError, match="one of 1 'bicycle', 2 'rider'; got none"):
        read_boxes(written(content))
    with pytest.raises(ValueError, match="2 'rider'; got horse"):
        read_boxes(written(content), category='horse')


def test_detections_of_other_images_are_refused(written, tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for name in ('000000000785.jpg', 'x.jpg'):
        (folder / name).write_bytes(b'')
    source = open_source(folder)
    read_boxes(written(DETECTIONS)).check(source)
    others = read_boxes(written([{**DETECTIONS[0], 'image_id': i} for i in (1, 2)]))
    message = r'none of its 2 image ids \(1, 2\) belongs .* of images \(785, x\)'
    with pytest.raises(ValueError, match=message):
        others.check(source)


def test_images_of_one_number_are_refused_in_results(tmp_path):
    for name in ('7.jpg', '07.png'):
        (tmp_path / name).write_bytes(b'')
    with pytest.raises(ValueError, match=r'07\.png and 7\.jpg are both 7'):
        Results(tmp_path / 'r.json', open_source(tmp_path))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', r'boxes\.json: it is no json, cut off or damaged'),
        ('3', 'must hold image name .* got a int'),
        ([3], 'is a list of no COCO detections'),
        ([dict(category_id=1, image_id=3)], "KeyError: 'bbox'"),
        (
            [dict(category_id=1, image_id=3, bbox=[1, 2, 3])],
            r'boxes\.json: bbox must be 4 finite numbers',
        ),
        ({'a.jpg': [1, 2, 3, 4]}, r'boxes of a\.jpg in .* must be rows of \[x1'),
        ({'a.jpg': [[1, 2, 3]]}, r'boxes of a\.jpg in .* must be rows of \[x1'),
        ({'a.jpg': [[5, 2, 3, 4]]}, r'must have x1 < x2 and y1 < y2, got \[5'),
    ],
)
def test_other_content_is_refused(written, content, message):
    with pytest.raises(ValueError, match=message):
        read_boxes(written(content))
