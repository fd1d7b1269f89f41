"""Data checks: what is found, what is let through, and the command line."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import ROOT

from mmpose_lite.data import (
    check_annotations,
    check_images,
    generate_toy_coco,
    image_list,
    render_toy_image,
)
from mmpose_lite.data.records import person_faults
from mmpose_lite.io.image_faults import image_faults
from mmpose_lite.io.images import ImageFacts, image_facts, read_image

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


def test_people_without_key_points_are_counted(toy, tmp_path):
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


def test_other_numbers_of_key_points():
    assert faults(count=14) == [('error', 'it has 17 key points instead of 14')]
    assert faults(categories={1: 14}) == faults(count=14)
    assert faults(categories={1: 14}, count=17) == []


def scene():
    return render_toy_image(0, 'val', 0, SIZE).image


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp', '.webp', '.tiff'])
@pytest.mark.parametrize('grey', [False, True])
@pytest.mark.parametrize('decode', [False, True])
def test_facts_are_those_of_the_decoded_image(tmp_path, suffix, grey, decode):
    path = tmp_path / f'a{suffix}'
    image = scene()[..., 0] if grey else scene()
    cv2.imwrite(str(path), image)
    # WebP knows no grey.
    kind = 'grey' if grey and suffix != '.webp' else 'colour'
    assert image_facts(path, decode) == ImageFacts(SIZE, kind)


@pytest.mark.parametrize('options', [[cv2.IMWRITE_JPEG_PROGRESSIVE, 1], []])
def test_head_and_end_of_jpeg_are_enough(tmp_path, monkeypatch, options):
    path = tmp_path / 'a.jpg'
    cv2.imwrite(str(path), scene(), options)
    with monkeypatch.context() as patch:
        patch.setattr(cv2, 'imdecode', None)
        assert image_facts(path).size == SIZE
        with pytest.raises(TypeError):  # the comparison can fail
            image_facts(path, decode=True)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match='cut off'):
        image_facts(path)


def test_every_cut_of_a_file_is_found(tmp_path):
    """At whatever byte: before, in and behind the head, and at the end."""
    for suffix in ('.jpg', '.png'):
        whole = cv2.imencode(suffix, scene())[1].tobytes()
        path = tmp_path / f'a{suffix}'
        ends = [*range(0, 700, 7), *range(700, len(whole), 997), len(whole) - 1]
        for end in ends:
            path.write_bytes(whole[:end])
            data = np.frombuffer(whole[:end], np.uint8)
            if end and cv2.imdecode(data, cv2.IMREAD_COLOR) is not None:
                assert end > len(whole) - 4  # what is missing is a checksum
                continue
            with pytest.raises(ValueError, match=r'cut off|empty'):
                image_facts(path)
        path.write_bytes(whole)
        assert image_facts(path).size == SIZE


def test_flipped_bytes_never_crash_the_check(tmp_path):
    """A head that lies is decoded, refused or believed, but nothing else happens."""
    rng = np.random.default_rng(0)
    path = tmp_path / 'a'
    for suffix in ('.jpg', '.png'):
        whole = np.frombuffer(cv2.imencode(suffix, scene())[1].tobytes(), np.uint8)
        for _ in range(150):
            data = whole.copy()
            data[rng.integers(0, 200, 3)] = rng.integers(0, 256, 3)
            path.write_bytes(data.tobytes())
            try:
                facts = image_facts(path)
            except ValueError:
                continue
            assert min(facts.stored) > 0


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


def test_tool_lists_and_tells_by_its_exit_code(toy, tmp_path):
    content = json.loads(toy.annotations['train'].read_text())
    content['annotations'][1]['bbox'] = [0, 0, 0, 0]
    path, out = tmp_path / 'a.json', tmp_path / 'found.json'
    path.write_text(json.dumps(content))

    def call(*words):
        return subprocess.run(
            [sys.executable, '-W', 'ignore', 'tools/check_data.py', *map(str, words)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    done = call(path, toy.images['train'], '--json', out)
    assert done.returncode == 1, done.stderr
    (row,) = json.loads(out.read_text())
    number = content['annotations'][1]['id']
    assert (row['grade'], row['kind'], row['id']) == ('error', 'person', number)
    assert f'(annotation {number})' in done.stdout
    assert row['file'] in done.stdout
    done = call(path, tmp_path / 'nowhere')
    assert done.returncode == 1
    assert 'IMAGES must be a folder' in done.stderr


@pytest.mark.parametrize('kept', [0, 2, 0.5, 0.999])
@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_half_a_file_is_no_image(tmp_path, suffix, kept):
    path = tmp_path / f'image{suffix}'
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    cv2.imwrite(str(path), image)
    assert (read_image(path) == cv2.imread(str(path))).all()
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept < 1 else kept])
    with pytest.raises(ValueError, match=path.name):
        read_image(path)
    with pytest.raises(FileNotFoundError, match='absent'):
        read_image(tmp_path / 'absent.jpg')
