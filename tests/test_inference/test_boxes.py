import json

import numpy as np
import pytest

from mmpose_lite.inference import as_boxes, read_boxes

OWN = {'a.jpg': [[0, 1, 20, 31], [5, 5, 9, 9, 0.1]], 'b.jpg': []}
ANNOTATIONS = dict(
    images=[
        dict(id=785, file_name='x/000000000785.jpg'),
        dict(id=3, file_name='c.png'),
    ],
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
    dict(image_id=785, category_id=18, bbox=[1, 2, 10, 20], score=0.9),
]


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / 'boxes.json'
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_boxes_by_name(written):
    found = read_boxes(written(OWN))
    assert found.of(['a.jpg', 'a']).tolist() == [[0, 1, 20, 31, 1]]
    assert found.of(['b.jpg', 'b']).shape == (0, 5)
    with pytest.raises(ValueError, match=r'boxes\.json holds no boxes of it'):
        found.of(['c.jpg', 'c'])


def test_threshold(written):
    found = read_boxes(written(OWN), threshold=0.1)
    assert np.allclose(found.of(['a.jpg'])[1], [5, 5, 9, 9, 0.1])


def test_annotations_give_persons_and_numbers(written):
    found = read_boxes(written(ANNOTATIONS))
    assert found.of(['000000000785.jpg']).tolist() == [[1, 2, 11, 22, 1]]
    assert found.of(['c.png']).shape == (0, 5)
    assert found.image_ids == {'000000000785.jpg': 785, 'c.png': 3}
    with pytest.raises(ValueError, match='holds no boxes'):
        found.of(['d.png', 'd'])


def test_detections_name_images_by_number(written):
    found = read_boxes(written(DETECTIONS))
    boxes = found.of(['000000000785.jpg', '000000000785', '785'])
    assert np.allclose(boxes, [[1, 2, 11, 22, 0.9]])
    # A detector that found nothing leaves no trace of an image.
    assert found.of(['d.png', 'd']).shape == (0, 5)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', r'boxes\.json: it is no json, cut off or damaged'),
        ('3', 'must hold image name .* got a int'),
        ([3], 'is a list of no COCO detections'),
        ([dict(category_id=1, image_id=3)], "KeyError: 'bbox'"),
        ({'a.jpg': [1, 2, 3, 4]}, r'boxes of a\.jpg in .* must be rows of \[x1'),
        ({'a.jpg': [[1, 2, 3]]}, r'boxes of a\.jpg in .* must be rows of \[x1'),
        ({'a.jpg': [[5, 2, 3, 4]]}, r'must have x1 < x2 and y1 < y2, got \[5'),
    ],
)
def test_other_content_is_refused(written, content, message):
    with pytest.raises(ValueError, match=message):
        read_boxes(written(content))


@pytest.mark.parametrize('values', [[[0, 0, np.nan, 5]], 'abcd', [[1, 2], [3]]])
def test_no_rows_of_numbers(values):
    with pytest.raises(ValueError, match='must be rows of'):
        as_boxes(values)
