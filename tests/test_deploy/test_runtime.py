"""Running exported files: geometry and decoding as in MMPose, files that belong."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from deploy_cases import KINDS, PHOTO, contract
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmpose.registry import KEYPOINT_CODECS

from mmpose_lite.deploy import Contract, PoseRuntime
from mmpose_lite.deploy.runtime import contract_path
from mmpose_lite.deploy.runtime.codecs import decode
from mmpose_lite.deploy.runtime.crops import centers_and_scales, cut, to_image

SIZE, MAP = (64, 96), (16, 24)
CODECS = {
    'quarter': dict(type='MSRAHeatmap'),
    'dark': dict(type='MSRAHeatmap', unbiased=True),
    'dark, kernel 5': dict(type='MSRAHeatmap', unbiased=True, blur_kernel_size=5),
    'udp': dict(type='UDPHeatmap'),
    'udp, kernel 3': dict(type='UDPHeatmap', blur_kernel_size=3),
    'udp, one factor': dict(type='CenteredUDPHeatmap'),
}
BOXES = np.array(
    [[20, 10, 70, 120], [-30.5, 40, 90, 60.25], [100, 80, 220, 200], [3, 3, 9, 5]]
)
PLAIN = dict(mean=(0.0,) * 3, std=(1.0,) * 3)
NOTHING = np.zeros((1, 17, *MAP[::-1]), np.float32)


@pytest.fixture(scope='module', params=KINDS)
def model(request, exported):
    return exported(kind=request.param, batch=None).paths[0]


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
    keypoints, scores = decode(NOTHING, ours)
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
    plain = contract(use_udp=udp, channel_order='bgr', **PLAIN)
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
    crop, plain, blue_first = (
        cut(PHOTO, *regions, one)[0]
        for one in (rgb, contract(**PLAIN), contract(channel_order='bgr', **PLAIN))
    )
    mean, std = (np.array(v)[:, None, None] for v in (rgb.mean, rgb.std))
    np.testing.assert_allclose(crop, (plain - mean) / std, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(blue_first, plain[::-1])


def test_corners_of_a_crop_are_corners_of_its_region():
    ours = contract()
    centers, scales = centers_and_scales(BOXES, ours)
    assert np.allclose(scales[:, 0] / scales[:, 1], 64 / 96)
    corners = np.tile([[[0, 0], [64, 96]]], (4, 1, 1))
    found = to_image(corners, centers, scales, ours)
    np.testing.assert_allclose(found[:, 0], centers - scales / 2)
    np.testing.assert_allclose(found[:, 1], centers + scales / 2)


def test_contract_round_trip():
    ours = contract(batch=None, verified=dict(max=0.25), source=dict(config='ä'))
    assert Contract.from_json(ours.to_json()) == ours
    inner = ours.inner()
    assert (inner.sha256, inner.verified) == ({}, {})
    # Models in int8 are not written any more.
    old = contract(precision='int8')
    assert Contract.from_json(old.to_json()) == old


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(mean=[1, 2]), 'mean must be three numbers'),
        (dict(std=[0, 1, 1]), 'std must be three numbers above 0'),
        (dict(mean='123'), 'mean of the contract is'),
        (dict(channel_order='gbr'), "channel_order must be 'rgb' or 'bgr', got gbr"),
        (dict(input_size=[64, 96, 3]), 'input_size of the contract is'),
        (dict(input_size=[64, True]), 'input_size of the contract is'),
        (dict(flip_pairs=[[0, 17]]), 'below 17'),
        (dict(batch=0), 'batch must be above 0 or none'),
        (dict(format='tflite'), 'format must be one of'),
        (dict(colour='rgb'), r"too many, entries: \['colour'\]"),
        # A newer schema is named before its entries.
        (dict(schema=2, novelty=1), 'written by another version of mmpose_'),
    ],
)
def test_damage_of_a_contract_is_named(changes, message):
    values = json.loads(contract().to_json()) | changes
    with pytest.raises(ValueError, match=message):
        Contract.from_json(json.dumps(values))


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"mean": 1}', 'model'])
def test_something_else_than_a_contract(text):
    with pytest.raises(ValueError, match='the contract'):
        Contract.from_json(text)


@pytest.mark.parametrize(
    ('codec', 'options', 'message'),
    [
        ('RegressionLabel', {}, r"codec must be one of .* 'RegressionLabel'"),
        ('UDPHeatmap', dict(heatmap_type='combined'), "must be 'gaussian'"),
        ('MSRAHeatmap', dict(shape='round'), "no parameter 'shape'"),
        (
            'SimCCLabel',
            dict(use_dark=True),
            'use_dark of SimCCLabel must be False, got',
        ),
        (
            'SimCCLabel',
            dict(decode_visibility=True),
            'decode_visibility of .* be False',
        ),
        ('SimCCLabel', dict(unbiased=True), "SimCCLabel has no parameter 'unbiased'"),
    ],
)
def test_codec_or_parameter_is_unknown(codec, options, message):
    with pytest.raises(ValueError, match=message):
        decode(NOTHING, contract(codec=codec, codec_options=options))


@pytest.fixture
def copied(model, tmp_path):
    for path in (model, contract_path(model)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / model.name


def test_a_file_is_missing(copied):
    other = copied.with_name('other.onnx')
    other.write_bytes(copied.read_bytes())
    with pytest.raises(FileNotFoundError, match=r'other\.onnx\.json is missing'):
        PoseRuntime(other)
    copied.unlink()
    with pytest.raises(FileNotFoundError, match=r'm\.onnx'):
        PoseRuntime(copied)


def test_another_contract(copied):
    path = contract_path(copied)
    values = json.loads(path.read_text())
    values['mean'][0] += 1
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match='holds another contract'):
        PoseRuntime(copied)


def test_name_of_another_format(copied):
    renamed = copied.rename(copied.with_suffix('.xml'))
    contract_path(copied).rename(contract_path(renamed))
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
def test_option_is_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        PoseRuntime(model, **options)


@pytest.mark.parametrize('flip', [False, True])
def test_batches_do_not_matter(runtime, flip):
    together = runtime(PHOTO, BOXES, flip_test=flip)
    for batch in (1, 3):
        keypoints, scores = runtime(PHOTO, BOXES, flip_test=flip, batch=batch)
        np.testing.assert_allclose(scores, together[1], rtol=0, atol=1e-4)
        # Random maps have no clear peaks: small changes move some keypoints.
        assert np.median(np.abs(keypoints - together[0])) < 1e-2


def test_shapes(runtime):
    for boxes, count in ((BOXES, 4), ([], 0)):
        found = runtime(PHOTO, boxes)
        assert [one.shape for one in found] == [(count, 17, 2), (count, 17)]
        assert {one.dtype for one in found} == {np.dtype(np.float32)}


def test_half_precision_boxes_are_computed_in_single(runtime):
    boxes = np.array([[20.5, 10.25, 150.75, 140.5]], np.float16)
    for one, other in zip(
        runtime(PHOTO, boxes), runtime(PHOTO, boxes.astype(np.float32)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_whole_image(runtime):
    for one, other in zip(
        runtime(PHOTO), runtime(PHOTO, [[0, 0, 200, 160]]), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (dict(boxes=[[1, 2, 3]]), r'boxes must be \(N, 4\), got \(1, 3\)'),
        (dict(boxes=[1, 2, 3, 4]), r'boxes must be \(N, 4\), got \(4,\)'),
        (
            dict(boxes=[[0, 0, 9, 9], [5, 5, 5, 9]]),
            r'right > left .* \[5.0, 5.0, 5.0, 9.0\]',
        ),
        (dict(boxes=[[0, 0, np.nan, 9]]), 'right > left'),
        (
            dict(image=np.zeros((9, 9), np.uint8)),
            r'image must be \(H, W, 3\), got \(9, 9\)',
        ),
        (dict(image=np.zeros((0, 9, 3), np.uint8)), 'image must be'),
        (dict(image=np.zeros((9, 9, 3))), 'image must hold uint8, got float64'),
        (dict(image=None), 'image must be .* got None'),
        (dict(batch=0), 'batch must be above 0, got 0'),
    ],
)
def test_call_is_refused(runtime, given, message):
    with pytest.raises(ValueError, match=message):
        runtime(**{'image': PHOTO, **given})


BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {blocked!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Blocker())
"""
ALONE = """
import sys
import numpy as np
from mmpose_lite.deploy import PoseRuntime
keypoints, scores = PoseRuntime({model!r})(np.full((90, 60, 3), 99, np.uint8))
print(keypoints.shape, scores.shape)
loaded = {{name.partition('.')[0] for name in sys.modules}}
heavy = loaded & {{'torch', 'torchvision', 'mmcv', 'mmengine', 'mmpose', 'onnx'}}
assert not heavy, heavy
"""
TORCH = (
    *('torch', 'torchvision', 'mmcv', 'mmengine', 'mmpose', 'mmdet'),
    *('xtcocotools', 'pycocotools', 'onnx', 'scipy'),
)


def python(code):
    return subprocess.run(
        [sys.executable, '-c', code],
        env={'PATH': '', 'PYTHONPATH': str(ROOT)},
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
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ('missing', 'packages'),
    [('onnxruntime', ' onnxruntime'), ('openvino', ' openvino'), ('cv2', '')],
)
def test_what_is_missing_takes_no_torch(exported, missing, packages):
    model = exported(batch=None).paths[0]
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
