"""Networks with vectors along x and y: decoded, mirrored, exported as in MMPose."""

import numpy as np
import onnx
import pytest
import torch
from deploy_cases import PHOTO, contract, export_small, found_by_mmpose, write_estimator
from mmpose.models.utils.tta import flip_vectors
from mmpose.registry import KEYPOINT_CODECS

from mmpose_lite.deploy import PoseRuntime
from mmpose_lite.deploy.parity import Difference, Outputs
from mmpose_lite.deploy.runtime.codecs import decode, mirrored
from mmpose_lite.loading import load_model

LABEL = "sigma=4.0, simcc_split_ratio=2.0, type='SimCCLabel'"
HEADS = {
    'simcc': """
        type='SimCCHead', in_channels=8, out_channels=17, deconv_out_channels=None,
        input_size=(64, 96), in_featuremap_size=(8, 12),
        final_layer=dict(kernel_size=3, stride=2, padding=1), decoder=codec,
    ),""",
    'rtmcc': """
        type='RTMCCHead', in_channels=8, out_channels=17, input_size=(64, 96),
        in_featuremap_size=(16, 24), final_layer_kernel_size=3,
        gau_cfg=dict(
            hidden_dims=32, s=16, expansion_factor=2, dropout_rate=0.0, drop_path=0.0,
            act_fn='SiLU', use_rel_bias=False, pos_enc=False,
        ),
        loss=dict(type='KLDiscretLoss', use_target_weight=True), decoder=codec,
    ),""",
}
"""What takes the place of a heatmap head in the small config."""
HEATMAP_HEAD = """
        type='HeatmapHead', in_channels=8, out_channels=17, deconv_out_channels=None,
        loss=dict(type='KeypointMSELoss', use_target_weight=True), decoder=codec,
    ),"""
BOXES = np.array([[20, 10, 70, 120], [-30.5, 40, 90, 60.25], [100, 80, 220, 200]])


def write_small(folder, kind):
    """Config and weights of a small estimator with one of the heads."""
    label = "heatmap_size=(16, 24), sigma=2, type='MSRAHeatmap'"
    changes = {label: LABEL, HEATMAP_HEAD: HEADS[kind]}
    return write_estimator(folder, replace=changes)


def simcc_contract(**options):
    return contract(codec='SimCCLabel', codec_options=options, heatmap_size=(128, 192))


@pytest.fixture(scope='module', params=HEADS)
def files(request, tmp_path_factory):
    return write_small(tmp_path_factory.mktemp(request.param), request.param)


def vectors(seed, sizes=(128, 192)):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((3, 17, size)).astype(np.float32) for size in sizes]


@pytest.mark.parametrize('ratio', [1.5, 2.0, 3.0])
def test_decoding_is_that_of_mmpose(ratio):
    options = dict(input_size=(64, 96), simcc_split_ratio=ratio)
    theirs = KEYPOINT_CODECS.build(dict(type='SimCCLabel', **options))
    x, y = vectors(0, (int(64 * ratio), int(96 * ratio)))
    x[0, 0] = -np.abs(x[0, 0])  # nothing there
    y[1, 3] = 0
    ours = simcc_contract(simcc_split_ratio=ratio)
    keypoints, scores = decode(np.concatenate([x, y], 2), ours)
    wanted = theirs.decode(x, y)
    np.testing.assert_allclose(keypoints, wanted[0], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(scores, wanted[1])
    assert (keypoints[[0, 1], [0, 3]] == np.float32(-1 / ratio)).all()


def test_mirrored_vectors_are_those_of_mmpose():
    x, y = vectors(1)
    ours = simcc_contract()
    found = mirrored(np.concatenate([x, y], 2), ours)
    wanted = flip_vectors(*map(torch.from_numpy, (x, y)), ours.flip_indices)
    np.testing.assert_array_equal(found, torch.cat(wanted, 2).numpy())


@pytest.mark.parametrize('batch', [None, 2])
@pytest.mark.parametrize('suffix', ['onnx', 'xml'])
def test_an_export_finds_what_mmpose_finds(files, tmp_path, suffix, batch):
    out = tmp_path / f'm.{suffix}'
    export_small(files, out, batch=batch)
    runtime = PoseRuntime(out)
    assert runtime.contract.heatmap_size == (128, 192)
    estimator = load_model(files.config, files.checkpoint)
    for flip in (False, True):
        keypoints, scores = runtime(PHOTO, BOXES, flip_test=flip)
        wanted = found_by_mmpose(estimator, PHOTO, BOXES, flip)
        np.testing.assert_allclose(scores, wanted[1], rtol=1e-3, atol=1e-5)
        # Random vectors have no clear peaks: small changes move a few of them.
        assert (np.abs(keypoints - wanted[0]).max(2) < 1e-2).mean() > 0.95


def test_outputs_have_the_names_that_others_use(files, tmp_path):
    """Their sizes are the head's, which has layers for one size of images only."""
    with pytest.raises(ValueError, match=r'for \(64, 96\) \(w, h\) only, got \(64, 64'):
        export_small(files, tmp_path / 'm.onnx', image_size=(64, 64))
    export_small(files, tmp_path / 'm.onnx', image_size=(96, 64))
    assert PoseRuntime(tmp_path / 'm.onnx').contract.input_size == (64, 96)
    outputs = {
        one.name: [side.dim_value for side in one.type.tensor_type.shape.dim]
        for one in onnx.load(tmp_path / 'm.onnx').graph.output
    }
    assert outputs == {'simcc_x': [1, 17, 128], 'simcc_y': [1, 17, 192]}


def test_a_config_that_says_something_else(tmp_path):
    files = write_small(tmp_path, 'simcc')
    text = files.config.read_text()
    assert LABEL in text
    files.config.write_text(text.replace(LABEL, LABEL.replace('2.0', '1.0')))
    with pytest.raises(ValueError, match=r'network returns .* 128\).* says .* 64\)'):
        export_small(files, tmp_path / 'm.onnx')


def test_native_code_is_refused(files, tmp_path):
    with pytest.raises(ValueError, match='of a map with'):
        export_small(files, tmp_path / 'm.so')
    assert not list(tmp_path.iterdir())


def test_peaks_are_looked_for_in_each_vector():
    x, y = (one[:, :2] for one in vectors(2))
    keypoints, far = np.zeros((2, 3, 2, 2))
    scores = np.ones((3, 2), np.float32)
    first = Outputs(np.concatenate([x, y], 2), keypoints, scores, split=128)
    np.testing.assert_array_equal(first.peaks, np.stack([x.argmax(2), y.argmax(2)], 2))
    # Another place along x, which is not the higher of the two vectors.
    other = x.copy()
    y[0, 0, 5] = 9
    other[0, 0, (first.peaks[0, 0, 0] + 60) % 128] = 8
    far[0, 0] = 50
    both = [
        Outputs(np.concatenate([one, y], 2), points, scores, split=128)
        for one, points in ((other, far), (x, keypoints))
    ]
    found = Difference.between(*both)
    assert (found.moved, found.max) == (1, 0)
