"""The one image reader: facts of files, half files refused, upright images."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from mmpose_lite.data import render_toy_image
from mmpose_lite.io.images import (
    ORIENTATION,
    ImageFacts,
    image_facts,
    read_image,
    save_image,
)

SIZE = (160, 120)


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


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp', '.tiff', '.webp'])
def test_every_file_is_decoded_once(tmp_path, monkeypatch, suffix):
    path = tmp_path / f'a{suffix}'
    cv2.imwrite(str(path), scene())
    calls, decode = [], cv2.imdecode
    monkeypatch.setattr(cv2, 'imdecode', lambda *a: calls.append(1) or decode(*a))
    read_image(path)
    image_facts(path, decode=True)
    assert len(calls) == 2


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
@pytest.mark.parametrize('decode', [False, True])
def test_images_are_upright(tmp_path, orientation, decode):
    path = tmp_path / 'a.jpg'
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    Image.fromarray(scene()).save(path, exif=tags)
    facts = image_facts(path, decode)
    assert facts == ImageFacts(SIZE, orientation=orientation)
    assert facts.size == (SIZE if orientation < 5 else SIZE[::-1])
    assert read_image(path).shape[1::-1] == facts.size


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('decode', [False, True])
def test_turned_webp_is_upright_or_refused(tmp_path, orientation, decode):
    path, tags = tmp_path / 'a.webp', Image.Exif()
    tags[ORIENTATION] = orientation
    image = scene()[..., ::-1]
    Image.fromarray(image).save(path, lossless=True, exif=tags.tobytes())
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))[..., ::-1]
    # OpenCV 4.11 turns every format but this one.
    turned = cv2.imread(str(path))
    if turned.shape == upright.shape and np.array_equal(turned, upright):
        assert image_facts(path, decode).size == upright.shape[1::-1]
        assert np.array_equal(read_image(path), upright)
    else:
        for read in (read_image, lambda path: image_facts(path, decode)):
            with pytest.raises(
                ValueError, match=rf'orientation {orientation}.*upright'
            ):
                read(path)


def test_bits_are_those_of_the_file(tmp_path):
    deep = scene().astype(np.uint16) * 257
    for name, image in (('a.png', deep), ('a.tiff', deep), ('grey.png', deep[..., 0])):
        cv2.imwrite(str(tmp_path / name), image)
        assert image_facts(tmp_path / name).bits == 16
        assert read_image(tmp_path / name).dtype == np.uint8


def test_images_are_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    path = tmp_path / 'new' / 'grid.png'
    save_image(path, image)
    np.testing.assert_array_equal(cv2.imread(str(path)), image)
    with pytest.raises(ValueError, match='suffix'):
        save_image(tmp_path / 'grid.xyz', image)

    def fail(*_):
        raise OSError('no space left')

    monkeypatch.setattr('os.replace', fail)
    with pytest.raises(OSError, match='no space left'):
        save_image(path, image[:30])
    np.testing.assert_array_equal(cv2.imread(str(path)), image)
    assert [p.name for p in path.parent.iterdir()] == ['grid.png']
