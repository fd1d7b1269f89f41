"""Running exported files: geometry and decoding as in MMPose, files that belong."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from deploy_cases import KINDS, PHOTO, contract, export_small, write_estimator
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmpose.registry import KEYPOINT_CODECS

from mmpose_lite.deploy import Contract, PoseRuntime
from mmpose_lite.deploy.runtime import contract_path, pose
from mmpose_lite.deploy.runtime.codecs import decode
from mmpose_lite.deploy.runtime.crops import centers_and_scales, cut, to_image

SIZE, MAP = (64, 96), (16, 24)
CODECS = {
    'quarter': dict(type='MSRAHeatmap'),
    'dark': dict(type='MSRAHeatmap', unbiased=True),
    'dark, kernel 5': dict(type='MSRAHeatmap', unbiased=True, blur_kernel_size=5),
    'udp': dict(type='UDPHeatmap'),
    'udp, kernel 3': dict(type='UDPHeatmap', blur_kernel_size=3),
}
BOXES = np.array(
    [[20, 10, 70, 120], [-30.5, 40, 90, 60.25], [100, 80, 220, 200], [3, 3, 9, 5]]
)


@pytest.fixture(scope='module', params=KINDS)
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    out = folder / 'small.onnx'
    export_small(write_estimator(folder, request.param), out, batch=None)
    return out


@pytest.fixture(scope='module')
def runtime(model):
    return PoseRuntime(model)


def blobs(seed, count=3):
    """Heatmaps with peaks everywhere: at edges, in corners, between pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: MAP[1], : MAP[0]]
    middles = rng.uniform(-1, 1.05, (count, 17, 2, 1, 1)) * np.array(MAP)[:, None, None]
    distance = (x - middles[:, :, 0].clip(0)) ** 2 + (y - middles[:, :, 1].clip(0)) ** 2
    noise = 0.02 * rng.standard_normal((count, 17, *MAP[::-1]))
    return (np.exp(-distance / 8) + noise).astype(np.float32)


@pytest.mark.parametrize('name', CODECS)
@pytest.mark.parametrize('seed', range(3))
def test_decoding_is_that_of_mmpose(name, seed):
    codec = dict(CODECS[name], input_size=SIZE, heatmap_size=MAP, sigma=2)
    theirs = KEYPOINT_CODECS.build(codec)
    options = {k: v for k, v in CODECS[name].items() if k != 'type'}
    ours = contract(codec=codec['type'], codec_options=options)
    heatmaps = blobs(seed)
    heatmaps[0, 0] = -0.5  # nothing there
    keypoints, scores = decode(heatmaps, ours)
    for image, found, score in zip(heatmaps, keypoints, scores, strict=True):
        wanted = theirs.decode(image)
        # Where nothing is, MMPose's UDP refines with values of other keypoints' maps.
        there = score > 0
        np.testing.assert_allclose(found[there], wanted[0][0][there], rtol=0, atol=1e-3)
        np.testing.assert_array_equal(score, wanted[1][0])


def test_empty_heatmaps_have_no_keypoints():
    for name in ('MSRAHeatmap', 'UDPHeatmap'):
        keypoints, scores = decode(
            np.zeros((1, 17, 24, 16), np.float32), contract(codec=name)
        )
        assert (keypoints < 0).all()
        assert (scores == 0).all()


@pytest.mark.parametrize('udp', [False, True])
@pytest.mark.parametrize('kind', [np.float64, np.float32])
def test_crops_are_those_of_mmpose(udp, kind):
    init_default_scope('mmpose')
    pipeline = Compose([
        dict(type='GetBBoxCenterScale'),
        dict(type='TopdownAffine', input_size=SIZE, use_udp=udp),
    ])  # fmt: skip
    plain = contract(use_udp=udp, mean=(0.0,) * 3, std=(1.0,) * 3, channel_order='bgr')
    boxes = BOXES.astype(kind)
    regions = centers_and_scales(boxes, plain)
    crops = cut(PHOTO, *regions, plain)
    for box, crop, center, scale in zip(boxes, crops, *regions, strict=True):
        wanted = pipeline(dict(img=PHOTO, bbox=box[None]))
        np.testing.assert_array_equal(crop.transpose(1, 2, 0), wanted['img'])
        np.testing.assert_array_equal(center, wanted['input_center'])
        np.testing.assert_array_equal(scale, wanted['input_scale'])


def test_colours():
    rgb = contract()
    regions = centers_and_scales(BOXES[:1], rgb)
    bytes_ = contract(mean=(0.0,) * 3, std=(1.0,) * 3)
    crop, plain = (cut(PHOTO, *regions, c)[0] for c in (rgb, bytes_))
    mean, std = (np.array(v)[:, None, None] for v in (rgb.mean, rgb.std))
    np.testing.assert_allclose(crop, (plain - mean) / std, rtol=1e-5, atol=1e-5)
    blue_first = cut(PHOTO, *regions, contract(
        mean=(0.0,) * 3, std=(1.0,) * 3, channel_order='bgr'))  # fmt: skip
    np.testing.assert_array_equal(blue_first[0], plain[::-1])


def test_corners_of_a_crop_are_corners_of_its_region():
    ours = contract()
    centers, scales = centers_and_scales(BOXES, ours)
    assert np.allclose(scales[:, 0] / scales[:, 1], 64 / 96)
    corners = np.tile([[[0, 0], [64, 96]]], (4, 1, 1))
    found = to_image(corners, centers, scales, ours)
    np.testing.assert_allclose(found[:, 0], centers - scales / 2)
    np.testing.assert_allclose(found[:, 1], centers + scales / 2)


class TestContract:
    def test_round_trip(self):
        ours = contract(batch=None, verified=dict(max=0.25), source=dict(config='ä'))
        assert Contract.from_json(ours.to_json()) == ours
        inner = ours.inner()
        assert (inner.sha256, inner.verified) == ({}, {})

    @pytest.mark.parametrize(
        ('name', 'value', 'message'),
        [
            ('mean', [1, 2], 'mean must be three numbers'),
            ('std', [0, 1, 1], 'std must be three numbers above 0'),
            ('mean', '123', 'mean of the contract is'),
            ('channel_order', 'gbr', "channel_order must be 'rgb' or 'bgr', got gbr"),
            ('input_size', [64, 96, 3], 'input_size of the contract is'),
            ('input_size', [64, True], 'input_size of the contract is'),
            ('flip_pairs', [[0, 17]], 'below 17'),
            ('batch', 0, 'batch must be above 0 or none'),
            ('format', 'tflite', 'format must be one of'),
            ('colour', 'rgb', r"too many, entries: \['colour'\]"),
        ],
    )
    def test_damage_is_named(self, name, value, message):
        values = json.loads(contract().to_json())
        values[name] = value
        with pytest.raises(ValueError, match=message):
            Contract.from_json(json.dumps(values))

    def test_a_newer_schema_is_named_before_its_entries(self):
        values = json.loads(contract().to_json())
        values.update(schema=2, novelty=1)
        with pytest.raises(ValueError, match='written by another version of mmpose_'):
            Contract.from_json(json.dumps(values))

    def test_a_model_in_int8_of_former_times_is_read(self):
        old = contract(precision='int8')
        assert Contract.from_json(old.to_json()) == old

    @pytest.mark.parametrize('text', ['', '[]', '{}', '{"mean": 1}', 'model'])
    def test_something_else(self, text):
        with pytest.raises(ValueError, match='the contract'):
            Contract.from_json(text)

    def test_unknown_codec(self):
        name = 'RegressionLabel'
        with pytest.raises(ValueError, match=rf"codec must be one of .* '{name}'"):
            decode(np.zeros((1, 17, 24, 16)), contract(codec=name))

    @pytest.mark.parametrize(
        ('codec', 'options', 'message'),
        [
            ('UDPHeatmap', dict(heatmap_type='combined'), "must be 'gaussian'"),
            ('MSRAHeatmap', dict(shape='round'), "no parameter 'shape'"),
        ],
    )
    def test_unknown_parameter(self, codec, options, message):
        ours = contract(codec=codec, codec_options=options)
        with pytest.raises(ValueError, match=message):
            decode(np.zeros((1, 17, 24, 16)), ours)


class TestFiles:
    @pytest.fixture
    def copy(self, model, tmp_path):
        for path in (model, contract_path(model)):
            (tmp_path / path.name).write_bytes(path.read_bytes())
        return tmp_path / model.name

    def test_another_model_never_reaches_an_engine(self, copy, monkeypatch):
        def opened(*_):
            raise AssertionError('an engine was given the file')

        monkeypatch.setattr(pose, 'open_engine', opened)
        data = bytearray(copy.read_bytes())
        data[len(data) // 2] ^= 1
        copy.write_bytes(data)
        with pytest.raises(ValueError, match=r'small\.onnx is not the file .* SHA-256'):
            PoseRuntime(copy)

    def test_contract_is_missing(self, copy):
        contract_path(copy).unlink()
        with pytest.raises(FileNotFoundError, match=r'small\.onnx\.json is missing'):
            PoseRuntime(copy)

    def test_model_is_missing(self, copy):
        copy.unlink()
        with pytest.raises(FileNotFoundError, match=r'small\.onnx'):
            PoseRuntime(copy)

    def test_another_contract(self, copy):
        path = contract_path(copy)
        values = json.loads(path.read_text())
        values['mean'][0] += 1
        path.write_text(json.dumps(values))
        with pytest.raises(ValueError, match='holds another contract'):
            PoseRuntime(copy)

    def test_name_of_another_format(self, copy):
        renamed = copy.rename(copy.with_suffix('.xml'))
        contract_path(copy).rename(contract_path(renamed))
        with pytest.raises(ValueError, match=r'must be named \*\.onnx'):
            PoseRuntime(renamed)

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            (dict(threads=0), 'threads must be at least 1, got 0'),
            (dict(engine='litert'), "engine must be one of .* got 'litert'"),
            (dict(engine='native'), "engine must be one of .* got 'native'"),
            (dict(hint='f8'), "hint must be one of .* got 'f8'"),
            (dict(hint='bf16'), r"hint must be .*'f32',\) for onnxruntime, got 'bf16'"),
        ],
    )
    def test_option(self, model, options, message):
        with pytest.raises(ValueError, match=message):
            PoseRuntime(model, **options)


class TestCall:
    @pytest.mark.parametrize('flip', [False, True])
    def test_batches_do_not_matter(self, runtime, flip):
        together = runtime(PHOTO, BOXES, flip_test=flip)
        for batch in (1, 3):
            keypoints, scores = runtime(PHOTO, BOXES, flip_test=flip, batch=batch)
            np.testing.assert_allclose(scores, together[1], rtol=0, atol=1e-4)
            # Random maps have no clear peaks: small changes move some keypoints.
            assert np.median(np.abs(keypoints - together[0])) < 1e-2

    def test_shapes(self, runtime):
        keypoints, scores = runtime(PHOTO, BOXES)
        assert (keypoints.shape, scores.shape) == ((4, 17, 2), (4, 17))
        assert keypoints.dtype == scores.dtype == np.float32

    def test_whole_image(self, runtime):
        for one, other in zip(
            runtime(PHOTO), runtime(PHOTO, [[0, 0, 200, 160]]), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-2)

    def test_nobody(self, runtime):
        keypoints, scores = runtime(PHOTO, [])
        assert (keypoints.shape, scores.shape) == ((0, 17, 2), (0, 17))

    @pytest.mark.parametrize(
        ('boxes', 'message'),
        [
            ([[1, 2, 3]], r'boxes must be \(N, 4\), got \(1, 3\)'),
            ([1, 2, 3, 4], r'boxes must be \(N, 4\), got \(4,\)'),
            ([[0, 0, 9, 9], [5, 5, 5, 9]], r'right > left .* \[5.0, 5.0, 5.0, 9.0\]'),
            ([[0, 0, np.nan, 9]], 'right > left'),
        ],
    )
    def test_boxes_are_refused(self, runtime, boxes, message):
        with pytest.raises(ValueError, match=message):
            runtime(PHOTO, boxes)

    @pytest.mark.parametrize(
        ('image', 'message'),
        [
            (np.zeros((9, 9), np.uint8), r'image must be \(H, W, 3\), got \(9, 9\)'),
            (np.zeros((0, 9, 3), np.uint8), 'image must be'),
            (np.zeros((9, 9, 3)), 'image must hold uint8, got float64'),
            (None, 'image must be .* got None'),
        ],
    )
    def test_image_is_refused(self, runtime, image, message):
        with pytest.raises(ValueError, match=message):
            runtime(image)

    def test_batch_is_refused(self, runtime):
        with pytest.raises(ValueError, match='batch must be above 0, got 0'):
            runtime(PHOTO, batch=0)


BLOCKER = """
import sys

BLOCKED = {blocked!r}


class Blocker:
    def find_spec(self, name, path=None, target=None):
        package = name.partition('.')[0]
        if package in BLOCKED or package.startswith('mm') and package != 'mmpose_lite':
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)


sys.meta_path.insert(0, Blocker())
"""
ALONE = """
import numpy as np
from mmpose_lite.deploy import PoseRuntime
keypoints, scores = PoseRuntime({model!r})(np.full((90, 60, 3), 99, np.uint8))
print(keypoints.shape, scores.shape)
loaded = {{name.partition('.')[0] for name in sys.modules}}
heavy = loaded & {{'torch', 'torchvision', 'mmcv', 'mmengine', 'mmpose', 'onnx'}}
assert not heavy, heavy
"""
TORCH = ('torch', 'torchvision', 'xtcocotools', 'pycocotools', 'onnx', 'scipy')


def python(code, **variables):
    return subprocess.run(
        [sys.executable, '-c', code],
        env={'PATH': '', 'PYTHONPATH': str(ROOT), **variables},
        cwd=ROOT / 'tests',
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize('blocked', [TORCH, None], ids=['missing', 'installed'])
def test_it_runs_without_torch_and_mmpose(model, blocked):
    blocker = BLOCKER.format(blocked=blocked) if blocked else ''
    done = python(blocker + ALONE.format(model=str(model)))
    assert done.stdout.split('\n')[0] == '(1, 17, 2) (1, 17)', done.stderr


@pytest.mark.parametrize(
    ('missing', 'packages'),
    [('onnxruntime', ' onnxruntime'), ('openvino', ' openvino'), ('cv2', '')],
)
def test_what_is_missing_takes_no_torch(model, missing, packages):
    blocker = BLOCKER.format(blocked=(*TORCH, missing))
    options = '' if missing == 'cv2' else f', engine={missing!r}'
    done = python(
        f'{blocker}\nfrom mmpose_lite.deploy import PoseRuntime\n'
        f'PoseRuntime({str(model)!r}{options})'
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        f'ImportError: {missing} is not installed; exported files need no torch, but: '
        f'pip install numpy opencv-python{packages}'
    )
