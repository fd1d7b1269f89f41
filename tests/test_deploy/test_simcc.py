"""Networks with vectors along x and y: decoded, mirrored, exported as in MMPose."""

import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT
from deploy_cases import (
    PHOTO,
    Files,
    contract,
    export_small,
    write_estimator,
    write_weights,
)
from mmpose.apis import inference_topdown
from mmpose.models.utils.tta import flip_vectors
from mmpose.registry import KEYPOINT_CODECS

from mmpose_lite.deploy import PoseRuntime
from mmpose_lite.deploy.parity import Difference, Outputs
from mmpose_lite.deploy.runtime.codecs import decode, mirrored
from mmpose_lite.loading import load_model

CONFIGS = ROOT / 'configs' / 'simcc'
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


def small(folder, kind, **changes):
    """Config and weights of a small estimator with one of the heads."""
    label = "heatmap_size=(16, 24), sigma=2, type='MSRAHeatmap'"
    return write_estimator(
        folder, replace={label: LABEL, HEATMAP_HEAD: HEADS[kind], **changes}
    )


def simcc_contract(**options):
    return contract(codec='SimCCLabel', codec_options=options, heatmap_size=(128, 192))


@pytest.fixture(scope='module', params=HEADS)
def files(request, tmp_path_factory):
    return small(tmp_path_factory.mktemp(request.param), request.param)


def vectors(seed, sizes=(128, 192)):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((3, 17, size)).astype(np.float32) for size in sizes]


@pytest.mark.parametrize('ratio', [1.5, 2.0, 3.0])
def test_decoding_is_that_of_mmpose(ratio):
    theirs = KEYPOINT_CODECS.build(
        dict(type='SimCCLabel', input_size=(64, 96), simcc_split_ratio=ratio)
    )
    x, y = vectors(0, (int(64 * ratio), int(96 * ratio)))
    x[0, 0] = -np.abs(x[0, 0])  # nothing there
    y[1, 3] = 0
    ours = simcc_contract(simcc_split_ratio=ratio)
    keypoints, scores = decode(np.concatenate([x, y], 2), ours)
    wanted = theirs.decode(x, y)
    np.testing.assert_allclose(keypoints, wanted[0], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(scores, wanted[1])
    assert (keypoints[0, 0] == np.float32(-1 / ratio)).all()
    assert (keypoints[1, 3] == np.float32(-1 / ratio)).all()


def test_mirrored_vectors_are_those_of_mmpose():
    x, y = vectors(1)
    ours = simcc_contract()
    found = mirrored(np.concatenate([x, y], 2), ours)
    wanted = flip_vectors(*map(torch.from_numpy, (x, y)), ours.flip_indices)
    np.testing.assert_array_equal(found, torch.cat(wanted, 2).numpy())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(use_dark=True), 'use_dark of SimCCLabel must be False, got True'),
        (dict(decode_visibility=True), 'decode_visibility of SimCCLabel must be False'),
        (dict(unbiased=True), "SimCCLabel has no parameter 'unbiased'"),
    ],
)
def test_what_is_not_known_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        decode(np.zeros((1, 17, 320)), simcc_contract(**options))


@pytest.mark.parametrize('batch', [None, 2])
@pytest.mark.parametrize(('form', 'suffix'), [('onnx', 'onnx'), ('openvino', 'xml')])
def test_an_export_finds_what_mmpose_finds(files, tmp_path, form, suffix, batch):
    out = tmp_path / f'm.{suffix}'
    export_small(files, out, format=form, batch=batch)
    runtime = PoseRuntime(out)
    assert runtime.contract.heatmap_size == (128, 192)
    estimator = load_model(files.config, files.checkpoint)
    for flip in (False, True):
        estimator.test_cfg['flip_test'] = flip
        keypoints, scores = runtime(PHOTO, BOXES, flip_test=flip)
        found = inference_topdown(estimator, PHOTO, BOXES)
        theirs = np.stack([one.pred_instances.keypoints[0] for one in found])
        values = np.stack([one.pred_instances.keypoint_scores[0] for one in found])
        np.testing.assert_allclose(scores, values, rtol=1e-3, atol=1e-5)
        # Random vectors have no clear peaks: small changes move a few of them.
        assert (np.abs(keypoints - theirs).max(2) < 1e-2).mean() > 0.95


def test_outputs_have_the_names_that_others_use(files, tmp_path):
    export_small(files, tmp_path / 'm.onnx')
    graph = onnx.load(tmp_path / 'm.onnx').graph
    outputs = {
        one.name: [side.dim_value for side in one.type.tensor_type.shape.dim]
        for one in graph.output
    }
    assert outputs == {'simcc_x': [1, 17, 128], 'simcc_y': [1, 17, 192]}


def test_a_head_has_layers_for_one_size(files, tmp_path):
    with pytest.raises(ValueError, match=r'for \(64, 96\) \(w, h\) only, got \(64, 64'):
        export_small(files, tmp_path / 'm.onnx', image_size=(64, 64))
    export_small(files, tmp_path / 'm.onnx', image_size=(96, 64))
    assert PoseRuntime(tmp_path / 'm.onnx').contract.input_size == (64, 96)


def test_a_config_that_says_something_else(tmp_path):
    files = small(tmp_path, 'simcc')
    text = files.config.read_text()
    assert LABEL in text
    files.config.write_text(text.replace(LABEL, LABEL.replace('2.0', '1.0')))
    with pytest.raises(ValueError, match=r'network returns .* 128\).* says .* 64\)'):
        export_small(files, tmp_path / 'm.onnx')


def test_native_code_is_refused(tmp_path):
    files = small(tmp_path, 'simcc')
    out = tmp_path / 'm.so'
    with pytest.raises(ValueError, match='of a map with'):
        export_small(files, out, format='native')
    assert not out.exists()


def test_peaks_are_looked_for_in_each_vector():
    x, y = (one[:, :2] for one in vectors(2))
    keypoints = np.zeros((3, 2, 2))
    scores = np.ones((3, 2), np.float32)
    first = Outputs(np.concatenate([x, y], 2), keypoints, scores, split=128)
    np.testing.assert_array_equal(first.peaks, np.stack([x.argmax(2), y.argmax(2)], 2))
    # Another place along x, which is not the higher of the two vectors.
    x = x.copy()
    y[0, 0, 5] = 9
    x[0, 0, (first.peaks[0, 0, 0] + 60) % 128] = 8
    far = keypoints.copy()
    far[0, 0] = 50
    both = [
        Outputs(np.concatenate([one, y], 2), points, scores, split=128)
        for one, points in ((x, far), (first.heatmaps[..., :128], keypoints))
    ]
    found = Difference.between(*both)
    assert (found.moved, found.max) == (1, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    'path', sorted(CONFIGS.glob('*_lspet-*.py')), ids=lambda path: path.stem
)
def test_every_light_network_with_a_modern_head(path, tmp_path):
    case = Files(path, tmp_path / 'weights.pth')
    write_weights(case)
    for suffix, form in (('onnx', 'onnx'), ('xml', 'openvino')):
        out = tmp_path / f'm.{suffix}'
        done = export_small(
            case, out, format=form, tolerance=dict(max=1e3, p95=1e3, median=1e3)
        )
        assert done.difference.relative < 1e-4
