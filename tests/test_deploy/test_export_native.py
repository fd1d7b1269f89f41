"""Compiled networks as exports: proven, described and checked like any other."""

import shutil

import numpy as np
import pytest
from deploy_cases import export_small, write_estimator

from mmpose_lite.deploy import PoseRuntime

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, ('c++', 'g++', 'clang++'))), reason='no C++ compiler'
)


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    return write_estimator(tmp_path_factory.mktemp('small'))


@pytest.fixture(scope='module')
def exported(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp('native')
    return folder / 'm.so', export_small(
        small, folder / 'm.so', format='native', batch=2
    )


def test_does_what_mmpose_does(exported, small, tmp_path):
    out, done = exported
    assert {path.name for path in out.parent.iterdir()} == {'m.so', 'm.so.json'}
    assert done.difference.relative < 1e-5
    assert done.contract.batch == 2
    export_small(small, tmp_path / 'm.onnx', batch=2)
    crops = np.random.default_rng(0).standard_normal((2, 3, 96, 64), np.float32)
    compiled, onnx = (
        PoseRuntime(file).heatmaps(crops) for file in (out, tmp_path / 'm.onnx')
    )
    np.testing.assert_allclose(compiled, onnx, rtol=0, atol=1e-5 * abs(onnx).max())


def test_another_file_is_never_loaded(exported, tmp_path):
    out, _ = exported
    for path in out.parent.iterdir():
        shutil.copy(path, tmp_path)
    library = tmp_path / 'm.so'
    library.write_bytes(library.read_bytes() + b'!')
    with pytest.raises(ValueError, match=r'm\.so'):
        PoseRuntime(library)


@pytest.mark.parametrize('options', [dict(threads=2), dict(hint='bf16')])
def test_one_thread_in_single_precision(exported, options):
    with pytest.raises(ValueError, match=r"(threads must be 1|'f32',\)) for native"):
        PoseRuntime(exported[0], **options)


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(batch=None), 'batch must be a number'),
        (dict(precision='fp16'), r"precision must be one of \('fp32',\)"),
        (dict(optimized=False), 'optimized must be True'),
    ],
)
def test_refused(small, tmp_path, options, match):
    with pytest.raises(ValueError, match=match):
        export_small(small, tmp_path / 'm.so', format='native', **options)
    assert not list(tmp_path.iterdir())


def test_no_compiler(small, tmp_path, monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(RuntimeError, match='no C\\+\\+ compiler found'):
        export_small(small, tmp_path / 'm.so', format='native')
    assert not list(tmp_path.iterdir())
