"""Exports: proven, described, refused; nothing is left behind by what fails."""

import copy
import shutil
import sys
from dataclasses import replace

import cv2
import numpy as np
import onnx
import openvino
import pytest
import torch
from conftest import ROOT
from deploy_cases import Files, contract, export_small, write_weights

from mmpose_lite.deploy import Contract, PoseRuntime, exporting
from mmpose_lite.deploy.onnx import halve_weights
from mmpose_lite.deploy.parity import Difference, Outputs, tolerances
from mmpose_lite.deploy.runtime import contract_path
from mmpose_lite.io import files

SUFFIXES = {'onnx': ('.onnx',), 'openvino': ('.xml', '.bin')}
CROPS = np.random.default_rng(0).standard_normal((3, 3, 96, 64), np.float32)


def contract_of(done):
    return Contract.from_json(contract_path(done.paths[0]).read_text())


def assert_close(first, second, tolerance):
    atol = tolerance * abs(second).max()
    np.testing.assert_allclose(first, second, rtol=0, atol=atol)


@pytest.mark.parametrize('optimized', [True, False], ids=['optimized', 'plain'])
@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
@pytest.mark.parametrize('form', SUFFIXES)
def test_model_and_contract(exported, form, precision, optimized):
    suffix = SUFFIXES[form][0]
    options = dict(precision=precision, batch=2, optimized=optimized)
    done = exported(suffix[1:], **options)
    out = done.paths[0]
    names = {f'm{end}' for end in (*SUFFIXES[form], f'{suffix}.json')}
    assert {path.name for path in out.parent.iterdir()} == names
    assert {path.name for path in done.paths} == names
    stored = contract_of(done)
    assert stored == done.contract
    assert stored.verified['max'] == done.difference.max
    assert (stored.format, stored.precision, stored.batch) == (form, precision, 2)
    assert stored.optimized is optimized
    assert stored.keypoint_names[:2] == ('nose', 'left_eye')
    assert (1, 2) in stored.flip_pairs
    assert stored.source['config'] == 'small.py'
    assert 'compared_on' in stored.source
    assert PoseRuntime(out).contract == stored
    if form == 'onnx':
        (entry,) = onnx.load(out).metadata_props
        assert entry.key == 'mmpose_lite'
        within = entry.value
    else:
        model = openvino.Core().read_model(out)
        within = model.get_rt_info(['mmpose_lite']).value
    assert Contract.from_json(within) == stored.inner()


def test_both_engines_read_onnx(exported):
    out = exported(batch=None).paths[0]
    first, second = (
        PoseRuntime(out, engine=engine).heatmaps(CROPS)
        for engine in ('onnxruntime', 'openvino')
    )
    assert_close(first, second, 1e-4)


def test_half_precision_halves_the_file(exported):
    half, full = (
        exported('xml', precision=precision, batch=2, optimized=True).paths[1]
        for precision in ('fp16', 'fp32')
    )
    assert half.suffix == '.bin'
    assert half.stat().st_size < 0.6 * full.stat().st_size


def test_another_input_size(exported):
    found = exported(image_size=(128, 96)).contract
    assert (found.input_size, found.heatmap_size) == ((96, 128), (24, 32))


def test_an_older_export_is_replaced(small, tmp_path):
    for batch in (1, 2):
        export_small(small, tmp_path / 'm.onnx', batch=batch)
    assert PoseRuntime(tmp_path / 'm.onnx').contract.batch == 2


@pytest.fixture(scope='module')
def compiled(exported):
    """A compiled export, made where the packages of other formats are missing."""
    if not any(map(shutil.which, ('c++', 'g++', 'clang++'))):
        pytest.skip('no C++ compiler')
    with pytest.MonkeyPatch.context() as patch:
        for name in ('onnx', 'onnxruntime', 'openvino'):
            patch.setitem(sys.modules, name, None)
        return exported('so', batch=2)


def test_compiled_network_does_what_mmpose_does(compiled, exported):
    out = compiled.paths[0]
    assert {path.name for path in out.parent.iterdir()} == {'m.so', 'm.so.json'}
    assert compiled.difference.relative < 1e-5
    found = compiled.contract
    assert (found.format, found.batch) == ('native', 2)
    assert 'onnx' not in found.versions
    assert found.versions['cv2'] == cv2.__version__
    other = exported(precision='fp32', batch=2, optimized=True).paths[0]
    first, second = (PoseRuntime(file).heatmaps(CROPS[:2]) for file in (out, other))
    assert_close(first, second, 1e-5)


@pytest.mark.parametrize('options', [dict(threads=2), dict(hint='bf16')])
def test_compiled_network_has_one_thread_and_single_precision(compiled, options):
    with pytest.raises(ValueError, match=r"(threads must be 1|'f32',\)) for native"):
        PoseRuntime(compiled.paths[0], **options)


def test_no_compiler(small, tmp_path, monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(
        RuntimeError, match=r'no C\+\+ compiler found .*no-such-compiler.*CXX'
    ):
        export_small(small, tmp_path / 'm.so')
    assert not list(tmp_path.iterdir())


def refused(tmp_path, files, match, name='m.onnx', error=ValueError, **options):
    folder = tmp_path / 'out'
    folder.mkdir()
    with pytest.raises(error, match=match):
        export_small(files, folder / name, **options)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ('name', 'options', 'match'),
    [
        ('m.onnx', dict(tolerance=dict(heatmap=-1.0)), 'heatmap must be at least 0'),
        ('m.onnx', dict(tolerance=dict(max=np.nan)), 'at least 0, got nan'),
        ('m.onnx', dict(tolerance=dict(mean=1.0)), 'not mean'),
        (
            *('m.onnx', dict(precision='int8')),
            r"precision must be one of \('fp32', 'fp16'\).* got 'int8'",
        ),
        ('m.onnx', dict(image_size=(98, 64)), 'must be whole'),
        ('m.onnx', dict(format='openvino'), r'named \*\.xml'),
        ('m.tflite', {}, r"out must end in one of .*'\.so'\), got .*m\.tflite"),
        ('m.onnx', dict(format='tflite'), "format must be one of .* got 'tflite'"),
        ('m.so', dict(batch=None), 'batch must be a number'),
        ('m.so', dict(precision='fp16'), r"precision must be one of \('fp32',\)"),
        ('m.so', dict(optimized=False), 'optimized must be True'),
    ],
)
def test_option_is_refused(small, tmp_path, name, options, match):
    refused(tmp_path, small, match, name, **options)


def test_beyond_a_tolerance_is_refused(small, tmp_path):
    limit = dict(heatmap=1e-12)
    message = 'heatmap is .*at most 1e-12'
    refused(tmp_path, small, message, error=RuntimeError, tolerance=limit)


def test_network_that_changed_is_refused(small, tmp_path, monkeypatch):
    def broken(network, *_, **__):
        changed = copy.deepcopy(network)
        changed.head.final_layer.weight.data[0] += 1
        return changed

    monkeypatch.setattr('mmpose_lite.deploy.exporting.optimize', broken)
    message = 'differs too much on drawn toy people'
    refused(tmp_path, small, message, error=RuntimeError)


def test_folder_is_missing(small, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'folder of .* does not exist'):
        export_small(small, tmp_path / 'missing' / 'm.onnx')


def test_weights_of_another_network_are_refused(small, tmp_path):
    weights = torch.load(small.checkpoint, weights_only=True)['state_dict']
    weights.pop('head.final_layer.weight')
    other = replace(small, checkpoint=tmp_path / 'other.pth')
    torch.save({'state_dict': weights}, other.checkpoint)
    refused(tmp_path, other, 'do not fit the model')


@pytest.mark.parametrize(
    ('old', 'new', 'match'),
    [
        ("type='MSRAHeatmap'", "type='SimCCLabel'", 'cannot be built'),
        (
            *("type='MSRAHeatmap'", "type='UDPHeatmap', heatmap_type='combined'"),
            'gaussian',
        ),
        ("'LoadImage'", "'LoadImage', color_type='grayscale'", 'without options'),
        ("'PackPoseInputs'", "'BottomupResize'", 'pipeline must be'),
        ("flip_mode='heatmap'", "flip_mode='udp_combined'", 'flip_mode must be'),
        ('bgr_to_rgb=True', 'bgr_to_rgb=True, pad_size_divisor=64', 'pad_size'),
    ],
)
def test_config_is_refused(tmp_path, small, old, new, match):
    text = small.config.read_text()
    assert old in text
    other = replace(small, config=tmp_path / 'other.py')
    other.config.write_text(text.replace(old, new))
    refused(tmp_path, other, match)


def outputs(shift=0.0, **changes):
    heatmaps = np.zeros((2, 3, 4, 4), np.float32)
    heatmaps[..., 1, 1] = 1
    keypoints = np.zeros((2, 3, 2)) + np.array([shift, 0])
    values = dict(heatmaps=heatmaps, keypoints=keypoints, scores=np.ones((2, 3)))
    return Outputs(**{**values, **changes})


def test_figures_of_a_difference():
    found = Difference.between(outputs(0.25), outputs())
    assert (found.people, found.keypoints, found.moved) == (2, 6, 0)
    assert (found.median, found.p95, found.max) == (0.25, 0.25, 0.25)
    assert found.heatmap == 0
    assert found.exceeded(dict(max=0.25)) == []
    assert found.exceeded(dict(max=0.2, median=0.3)) == [
        'max is 0.25, at most 0.2 is tolerated'
    ]


def test_another_peak_counts_as_moved():
    other = outputs()
    other.heatmaps[0, 0, 3, 3] = 1.001
    other.keypoints[0, 0] = 50
    found = Difference.between(other, outputs())
    assert (found.moved, found.max) == (1, 0)
    assert found.heatmap == pytest.approx(1.001)
    assert found.exceeded(tolerances('fp32', {})) != []


def test_nan_is_no_proof():
    bad = outputs(scores=np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match='not finite'):
        Difference.between(bad, outputs())


def test_weights_too_large_for_half_precision(exported):
    model = onnx.load(exported(batch=None).paths[0])
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    values = onnx.numpy_helper.to_array(tensor) + 1e5
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    with pytest.raises(ValueError, match='too large for fp16'):
        halve_weights(model)


def test_contract_comes_last(tmp_path, monkeypatch):
    """A reader in between must meet the old contract, or none, with the new model."""
    order, rename = [], files.os.replace

    def spied(old, new):
        order.append(new.name)
        rename(old, new)

    monkeypatch.setattr(files.os, 'replace', spied)
    contents = {'.xml': b'x', '.bin': b'b'}
    exporting.save(tmp_path / 'm.xml', contents, contract(format='openvino'))
    assert order == ['m.xml', 'm.bin', 'm.xml.json']


FAMILIES = [
    'litehrnet/td-hm_litehrnet-18_8xb64-210e_coco-256x192.py',
    'litehrnet/td-hm_wider-naive-litehrnet-18_dark_8xb64-210e_coco-128x96.py',
    'xhrnet/td-hm_xhrnet-s18_1xb32-8e_lspet-128x96.py',
    'xhrnet/td-hm_xhrnet-p18_8xb64-210e_coco-256x192.py',
    'psa/td-hm_res50-psa-p_8xb64-210e_coco-256x192.py',
    'psa/td-hm_hrnet-w32-psa-s_udp-8xb64-210e_coco-256x192.py',
    'hrnas/td-hm_hrnas-mini_1xb32-8e_lspet-128x96.py',
    'tokenpose/td-hm_tokenpose-s-v1_1xb32-8e_lspet-128x96.py',
    'tokenpose/td-hm_tokenpose-s-v1-graph-mask_1xb32-8e_lspet-128x96.py',
    'tokenpose/td-hm_tokenpose-s-v1-prune_1xb32-8e_lspet-128x96.py',
    'tokenpose/td-hm_tokenpose-s-v1-sparse_1xb32-8e_lspet-128x96.py',
    'tokenpose/td-hm_tokenpose-s-v1-token_1xb32-8e_lspet-128x96.py',
    'tokenpose/td-hm_tokenpose-s-v1-shared_udp-4xb32-300e_coco-256x192.py',
    'tokenpose/td-hm_tokenpose-litehrnet-18_udp-4xb32-300e_coco-256x192.py',
    *(
        f'simcc/{path.name}'
        for path in sorted((ROOT / 'configs/simcc').glob('*_lspet-*'))
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize('name', FAMILIES, ids=lambda name: name.split('/')[1][:40])
def test_every_family(name, tmp_path):
    case = Files(ROOT / 'configs' / name, tmp_path / 'weights.pth')
    write_weights(case)
    # Random networks have no clear peaks, which the slightest change moves.
    loose = dict(max=1e3, p95=1e3)
    if name.startswith('simcc'):
        loose.update(median=1e3)
    for suffix in ('onnx', 'xml'):
        done = export_small(case, tmp_path / f'm.{suffix}', tolerance=loose)
        assert done.difference.relative < 1e-4
