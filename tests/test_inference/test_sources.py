import cv2
import numpy as np
import pytest

from mmpose_lite.data import render_toy_image
from mmpose_lite.inference import open_source, sources

SIZE = (160, 120)


@pytest.fixture(scope='module')
def scene():
    return render_toy_image(0, 'val', 0, SIZE).image


@pytest.fixture
def folder(tmp_path, scene):
    """Two good images, four bad ones, something else."""
    for name, half in (('b.jpg', 'cut.jpg'), ('a.PNG', 'cut.png')):
        cv2.imwrite(str(tmp_path / name), scene)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / half).write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / 'empty.jpg').touch()
    (tmp_path / 'text.jpg').write_text('no image')
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / 'inner.jpg').mkdir()
    return tmp_path


def test_folder_names_what_it_cannot_read(folder, scene):
    source = open_source(folder)
    frames = {frame.name: frame for frame in source}
    bad = ['cut.jpg', 'cut.png', 'empty.jpg', 'text.jpg']
    assert list(frames) == sorted(['a.PNG', 'b.jpg', *bad])
    assert source.total == len(frames)
    assert np.array_equal(frames['a.PNG'].image, scene)
    assert frames['b.jpg'].image.shape == scene.shape
    assert not frames['b.jpg'].problem
    for name in bad:
        assert frames[name].image is None
        assert frames[name].problem
    assert frames['cut.jpg'].problem == 'it is damaged or no image'


def test_something_behind_the_end_of_an_image_is_no_damage(folder, scene):
    path = folder / 'b.jpg'
    path.write_bytes(path.read_bytes() + b'a trailer, as some telephones write')
    (frame,) = open_source(path)
    assert frame.image.shape == scene.shape


@pytest.mark.parametrize(
    ('name', 'number'), [('000000000785.jpg', 785), ('a.jpg', 'a.jpg')]
)
def test_number_of_an_image(name, number):
    assert sources.Frame(name, None).image_id == number


def write_video(path, code, count=12):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 10, SIZE)
    for i in range(count):
        writer.write(np.full((SIZE[1], SIZE[0], 3), 20 * i % 256, np.uint8))
    writer.release()


@pytest.mark.parametrize(('suffix', 'code'), [('avi', 'MJPG'), ('mp4', 'mp4v')])
def test_video(tmp_path, suffix, code):
    path = tmp_path / f'clip.{suffix}'
    write_video(path, code)
    source = open_source(path)
    frames = list(source)
    assert (source.kind, source.total, source.fps) == ('video', 12, 10)
    assert [frame.image_id for frame in frames] == list(range(12))
    assert frames[3].keys == ('clip_000003', 'clip_000003', '3')
    assert np.abs(frames[5].image.astype(int) - 100).max() < 8


def test_broken_frame_does_not_end_a_video(tmp_path):
    path = tmp_path / 'clip.avi'
    write_video(path, 'MJPG')
    data, start = path.read_bytes(), -1
    for _ in range(8):
        start = data.index(b'\xff\xd8\xff', start + 1)
    end = data.index(b'\xff\xd9', start) + 2
    path.write_bytes(data[:start] + bytes(end - start) + data[end:])
    frames = list(open_source(path))
    assert [frame.number for frame in frames if frame.problem] == [7]
    assert np.abs(frames[11].image.astype(int) - 220).max() < 8


def test_cut_video_is_given_up_after_a_while(tmp_path):
    path = tmp_path / 'clip.avi'
    write_video(path, 'MJPG', 80)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    bad = [frame for frame in open_source(path) if frame.problem]
    assert 1 < len(bad) <= sources._PATIENCE < 50
    assert 'no more are tried' in bad[-1].problem
    assert 'no more' not in bad[0].problem


class Camera:
    """Three images, one failure, an image, then failures for ever."""

    opened: list = []  # noqa: RUF012

    def __init__(self, which):
        assert which == 7
        self.reads = 0
        Camera.opened.append(self)

    def isOpened(self):
        return True

    def get(self, _):
        return 0.0

    def read(self):
        self.reads += 1
        if self.reads in (1, 2, 3, 5):
            return True, np.zeros((4, 4, 3), np.uint8)
        return False, None

    def release(self):
        Camera.opened.remove(self)


def test_camera(monkeypatch):
    monkeypatch.setattr(cv2, 'VideoCapture', Camera)
    source = open_source('7')
    assert (source.kind, source.total, source.name) == ('camera', None, 'camera7')
    good = [frame.image is not None for frame in source]
    assert good == [True] * 3 + [False, True] + [False] * sources._PATIENCE
    reading = iter(source)
    next(reading)
    assert Camera.opened
    reading.close()
    assert not Camera.opened


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('nothing.jpg', 'no image, folder, video or camera'),
        ('notes.txt', r'cannot open .*notes\.txt as an image, a video or a camera'),
        ('inner.jpg', r'holds no images \(\.jpg'),
    ],
)
def test_nothing_to_read(folder, name, message):
    with pytest.raises(ValueError, match=message):
        open_source(folder / name)
