"""Exports: proven, described, refused; nothing is left behind by what fails."""

import copy
import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import onnx
import openvino
import pytest
import torch
from conftest import ROOT
from deploy_cases import (
    Files,
    contract,
    export_small,
    toy_coco,
    write_estimator,
    write_weights,
)

from mmpose_lite.deploy import Contract, PoseRuntime, exporting
from mmpose_lite.deploy.backends.onnx import halve_weights
from mmpose_lite.deploy.parity import Difference, Outputs, tolerances
from mmpose_lite.deploy.runtime import contract_path
from mmpose_lite.deploy.samples import (
    coco_samples,
    config_samples,
    find_samples,
    folder_samples,
    toy_samples,
)
from mmpose_lite.io import files

LOOSE = dict(heatmap=1.0, median=1e3, p95=1e3, max=1e3)


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    return write_estimator(tmp_path_factory.mktemp('small'))


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    """COCO json and folder of images."""
    return toy_coco(tmp_path_factory.mktemp('toy'), 'val')


class TestFiles:
    @pytest.mark.parametrize('optimized', [True, False], ids=['optimized', 'plain'])
    @pytest.mark.parametrize('precision', ['fp32', 'fp16'])
    @pytest.mark.parametrize(
        ('form', 'suffix'), [('onnx', 'onnx'), ('openvino', 'xml')]
    )
    def test_model_and_contract(
        self, small, tmp_path, form, suffix, precision, optimized
    ):
        out = tmp_path / f'small.{suffix}'
        done = export_small(
            small, out, format=form, precision=precision, batch=2, optimized=optimized
        )
        names = {'small.xml', 'small.bin'} if form == 'openvino' else {'small.onnx'}
        assert {path.name for path in tmp_path.iterdir()} == {
            *names, f'small.{suffix}.json'
        }  # fmt: skip
        assert {path.name for path in done.paths} == {*names, contract_path(out).name}
        stored = Contract.from_json(contract_path(out).read_text())
        assert stored == done.contract
        assert stored.verified['max'] == done.difference.max
        assert (stored.format, stored.precision, stored.batch) == (form, precision, 2)
        assert stored.optimized is optimized
        assert stored.keypoint_names[:2] == ('nose', 'left_eye')
        assert (1, 2) in stored.flip_pairs
        assert stored.source['config'] == 'small.py'
        assert 'compared_on' in stored.source
        assert PoseRuntime(out).contract == stored

    def test_contract_within_the_model(self, small, tmp_path):
        for suffix, form in (('onnx', 'onnx'), ('xml', 'openvino')):
            export_small(small, tmp_path / f'm.{suffix}', format=form)
        stored = Contract.from_json((tmp_path / 'm.onnx.json').read_text())
        (entry,) = onnx.load(tmp_path / 'm.onnx').metadata_props
        assert entry.key == 'mmpose_lite'
        assert Contract.from_json(entry.value) == stored.inner()
        model = openvino.Core().read_model(tmp_path / 'm.xml')
        within = Contract.from_json(model.get_rt_info(['mmpose_lite']).value)
        assert within == replace(stored, format='openvino', versions={
            **within.versions}).inner()  # fmt: skip

    def test_both_engines_read_onnx(self, small, tmp_path):
        export_small(small, tmp_path / 'm.onnx', batch=None)
        crops = np.random.default_rng(0).standard_normal((3, 3, 96, 64), np.float32)
        first, second = (
            PoseRuntime(tmp_path / 'm.onnx', engine=engine).heatmaps(crops)
            for engine in ('onnxruntime', 'openvino')
        )
        np.testing.assert_allclose(first, second, rtol=0, atol=1e-4 * first.max())

    def test_half_precision_halves_the_file(self, small, tmp_path):
        sizes = {}
        for precision in ('fp32', 'fp16'):
            out = tmp_path / f'{precision}.xml'
            export_small(small, out, format='openvino', precision=precision)
            sizes[precision] = out.with_suffix('.bin').stat().st_size
        assert sizes['fp16'] < 0.6 * sizes['fp32']

    def test_another_input_size(self, small, tmp_path):
        out = tmp_path / 'm.onnx'
        done = export_small(small, out, image_size=(128, 96))
        assert done.contract.input_size == (96, 128)
        assert done.contract.heatmap_size == (24, 32)

    def test_an_older_export_is_replaced(self, small, tmp_path):
        for batch in (1, 2):
            export_small(small, tmp_path / 'm.onnx', batch=batch)
        assert PoseRuntime(tmp_path / 'm.onnx').contract.batch == 2


@pytest.fixture(scope='module')
def compiled(small, tmp_path_factory):
    """A compiled export, made where the packages of other formats are missing."""
    out = tmp_path_factory.mktemp('native') / 'm.so'
    with pytest.MonkeyPatch.context() as patch:
        for name in ('onnx', 'onnxruntime', 'openvino'):
            patch.setitem(sys.modules, name, None)
        return out, export_small(small, out, batch=2)


@pytest.mark.skipif(
    not any(map(shutil.which, ('c++', 'g++', 'clang++'))), reason='no C++ compiler'
)
class TestCompiled:
    """Compiled networks are proven, described and checked like any other."""

    def test_does_what_mmpose_does(self, compiled, small, tmp_path):
        out, done = compiled
        assert {path.name for path in out.parent.iterdir()} == {'m.so', 'm.so.json'}
        assert done.difference.relative < 1e-5
        assert (done.contract.format, done.contract.batch) == ('native', 2)
        assert 'onnx' not in done.contract.versions
        export_small(small, tmp_path / 'm.onnx', batch=2)
        crops = np.random.default_rng(0).standard_normal((2, 3, 96, 64), np.float32)
        first, second = (
            PoseRuntime(file).heatmaps(crops) for file in (out, tmp_path / 'm.onnx')
        )
        np.testing.assert_allclose(first, second, rtol=0, atol=1e-5 * abs(second).max())

    @pytest.mark.parametrize('options', [dict(threads=2), dict(hint='bf16')])
    def test_one_thread_in_single_precision(self, compiled, options):
        with pytest.raises(
            ValueError, match=r"(threads must be 1|'f32',\)) for native"
        ):
            PoseRuntime(compiled[0], **options)

    @pytest.mark.parametrize(
        ('options', 'match'),
        [
            (dict(batch=None), 'batch must be a number'),
            (dict(precision='fp16'), r"precision must be one of \('fp32',\)"),
            (dict(optimized=False), 'optimized must be True'),
        ],
    )
    def test_refused(self, small, tmp_path, options, match):
        with pytest.raises(ValueError, match=match):
            export_small(small, tmp_path / 'm.so', **options)
        assert not list(tmp_path.iterdir())

    def test_no_compiler(self, small, tmp_path, monkeypatch):
        monkeypatch.setenv('CXX', 'no-such-compiler')
        with pytest.raises(
            RuntimeError, match=r'no C\+\+ compiler found .*no-such-compiler.*CXX'
        ):
            export_small(small, tmp_path / 'm.so')
        assert not list(tmp_path.iterdir())


class TestRefused:
    def refused(self, tmp_path, files, match, **options):
        folder = tmp_path / 'out'
        folder.mkdir()
        with pytest.raises(ValueError, match=match):
            export_small(files, folder / 'm.onnx', **options)
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize(
        ('options', 'match'),
        [
            (dict(tolerance=dict(heatmap=-1.0)), 'heatmap is .*at most -1'),
            (dict(tolerance=dict(median=-1.0)), 'median is .*at most -1'),
            (dict(tolerance=dict(max=-1.0)), 'max is .*at most -1'),
            (dict(tolerance=dict(mean=1.0)), 'not mean'),
            (
                dict(precision='int8'),
                r"precision must be one of \('fp32', 'fp16'\).* got 'int8'",
            ),
            (dict(image_size=(98, 64)), 'must be whole'),
        ],
    )
    def test_option(self, small, tmp_path, options, match):
        self.refused(tmp_path, small, match, **options)

    def test_network_that_changed(self, small, tmp_path, monkeypatch):
        def broken(network, *_, **__):
            changed = copy.deepcopy(network)
            changed.head.final_layer.weight.data[0] += 1
            return changed

        monkeypatch.setattr('mmpose_lite.deploy.exporting.optimize', broken)
        self.refused(tmp_path, small, 'differs too much on drawn toy people')

    @pytest.mark.parametrize(
        ('name', 'form', 'match'),
        [
            ('m.onnx', 'openvino', r'named \*\.xml'),
            ('m.tflite', None, r"out must end in one of .*'\.so'\), got .*m\.tflite"),
            ('m.onnx', 'tflite', "format must be one of .* got 'tflite'"),
        ],
    )
    def test_name_and_format(self, small, tmp_path, name, form, match):
        with pytest.raises(ValueError, match=match):
            export_small(small, tmp_path / name, format=form)

    def test_folder(self, small, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'folder of .* does not exist'):
            export_small(small, tmp_path / 'missing' / 'm.onnx')

    def test_weights_of_another_network(self, small, tmp_path):
        weights = torch.load(small.checkpoint, weights_only=True)['state_dict']
        weights.pop('head.final_layer.weight')
        other = replace(small, checkpoint=tmp_path / 'other.pth')
        torch.save({'state_dict': weights}, other.checkpoint)
        self.refused(tmp_path, other, 'do not fit the model')

    @pytest.mark.parametrize(
        ('old', 'new', 'match'),
        [
            ("type='MSRAHeatmap'", "type='SimCCLabel'", 'cannot be built'),
            (
                "type='MSRAHeatmap'",
                "type='UDPHeatmap', heatmap_type='combined'",
                'gaussian',
            ),
            ("'LoadImage'", "'LoadImage', color_type='grayscale'", 'without options'),
            ("'PackPoseInputs'", "'BottomupResize'", 'pipeline must be'),
            ("flip_mode='heatmap'", "flip_mode='udp_combined'", 'flip_mode must be'),
            ('bgr_to_rgb=True', 'bgr_to_rgb=True, pad_size_divisor=64', 'pad_size'),
        ],
    )
    def test_config(self, tmp_path, small, old, new, match):
        text = small.config.read_text()
        assert old in text
        other = replace(small, config=tmp_path / 'other.py')
        other.config.write_text(text.replace(old, new))
        self.refused(tmp_path, other, match)


class TestSamples:
    def test_of_the_config(self, toy):
        annotations, images = toy
        dataset = dict(
            data_root=str(annotations.parents[1]),
            ann_file='annotations/person_keypoints_val.json',
            data_prefix=dict(img='val'),
        )
        config = dict(val_dataloader=dict(dataset=dataset))
        assert config_samples(config) == find_samples((), config)
        assert find_samples((), config) == coco_samples(annotations, images)

    def test_drawn_where_there_is_nothing(self):
        found = find_samples((), {})
        assert found == toy_samples()
        assert found.people >= len(found.samples) == 16
        assert all(one.image().ndim == 3 for one in found.samples[:2])

    def test_folder(self, toy):
        found = find_samples([str(toy[1])], {})
        assert found == folder_samples(toy[1])
        assert found.people == 4
        assert found.first(2).people == 2

    def test_first(self, toy):
        samples = coco_samples(*toy)
        assert 3 <= samples.first(3).people < 3 + max(s.people for s in samples.samples)

    def test_nothing(self, tmp_path):
        with pytest.raises(ValueError, match='holds no images'):
            folder_samples(tmp_path)

    def test_missing_image(self, toy, tmp_path):
        with pytest.raises(FileNotFoundError, match='is missing'):
            coco_samples(toy[0], tmp_path)

    def test_another_json(self, tmp_path):
        (tmp_path / 'a.json').write_text('[]')
        with pytest.raises(ValueError, match='no COCO json'):
            coco_samples(tmp_path / 'a.json', tmp_path)

    def config(self, folder):
        dataset = dict(data_root=str(folder), ann_file='a.json', data_prefix={})
        return dict(val_dataloader=dict(dataset=dataset))

    def test_damaged_validation_data_are_reported(self, tmp_path):
        (tmp_path / 'a.json').write_text('{"images": [')
        with pytest.raises(
            ValueError, match=r'a\.json: it is no json, cut off or damaged'
        ):
            find_samples((), self.config(tmp_path))

    def test_missing_images_of_validation_data_are_reported(self, toy, tmp_path):
        (tmp_path / 'a.json').write_bytes(toy[0].read_bytes())
        with pytest.raises(FileNotFoundError, match='is missing'):
            find_samples((), self.config(tmp_path))

    def test_validation_data_of_another_kind(self, tmp_path):
        (tmp_path / 'a.json').write_text('[]')
        assert find_samples((), self.config(tmp_path)) == toy_samples()

    def test_missing_box_is_named(self, toy, tmp_path):
        content = json.loads(toy[0].read_text())
        del content['annotations'][1]['bbox']
        number = content['annotations'][1]['id']
        (tmp_path / 'a.json').write_text(json.dumps(content))
        with pytest.raises(
            ValueError, match=rf'a\.json: annotation {number}: bbox must be'
        ):
            coco_samples(tmp_path / 'a.json', toy[1])

    def test_no_image(self, tmp_path):
        (tmp_path / 'a.jpg').write_text('no image')
        (sample,) = folder_samples(tmp_path).samples
        with pytest.raises(ValueError, match=r'a\.jpg: it is cut off'):
            sample.image()


class TestDifference:
    def outputs(self, shift=0.0, **changes):
        heatmaps = np.zeros((2, 3, 4, 4), np.float32)
        heatmaps[..., 1, 1] = 1
        keypoints = np.zeros((2, 3, 2)) + np.array([shift, 0])
        values = dict(heatmaps=heatmaps, keypoints=keypoints, scores=np.ones((2, 3)))
        return Outputs(**{**values, **changes})

    def test_figures(self):
        found = Difference.between(self.outputs(0.25), self.outputs())
        assert (found.people, found.keypoints, found.moved) == (2, 6, 0)
        assert (found.median, found.p95, found.max) == (0.25, 0.25, 0.25)
        assert found.heatmap == 0

    def test_another_peak_counts_as_moved(self):
        other = self.outputs()
        other.heatmaps[0, 0, 3, 3] = 1.001
        other.keypoints[0, 0] = 50
        found = Difference.between(other, self.outputs())
        assert found.moved == 1
        assert found.max == 0
        assert found.heatmap == pytest.approx(1.001)
        assert found.exceeded(tolerances('fp32', {})) != []

    def test_nan_is_no_proof(self):
        bad = self.outputs(scores=np.full((2, 3), np.nan))
        with pytest.raises(ValueError, match='not finite'):
            Difference.between(bad, self.outputs())

    def test_limits(self):
        found = Difference.between(self.outputs(0.25), self.outputs())
        assert found.exceeded(dict(max=0.25)) == []
        assert found.exceeded(dict(max=0.2, median=0.3)) == [
            'max is 0.25, at most 0.2 is tolerated'
        ]


def test_weights_too_large_for_half_precision(small, tmp_path):
    export_small(small, tmp_path / 'm.onnx')
    model = onnx.load(tmp_path / 'm.onnx')
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
]


@pytest.mark.slow
@pytest.mark.parametrize('name', FAMILIES, ids=lambda name: name.split('/')[1][6:40])
def test_every_family(name, tmp_path):
    case = Files(ROOT / 'configs' / name, tmp_path / 'weights.pth')
    write_weights(case)
    for suffix, form in (('onnx', 'onnx'), ('xml', 'openvino')):
        # Random networks have flat heatmaps, whose peaks the slightest change moves.
        done = export_small(
            case,
            tmp_path / f'm.{suffix}',
            format=form,
            tolerance=dict(max=1e3, p95=1e3),
        )
        assert done.difference.relative < 1e-4
