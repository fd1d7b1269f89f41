"""Graphs in int8, and what is measured of them."""

import numpy as np
import onnx
import pytest
from deploy_cases import contract, export_small, write_estimator

from mmpose_lite.data import generate_toy_coco
from mmpose_lite.deploy.evaluation import Evaluated, cost
from mmpose_lite.deploy.images import coco_scenes
from mmpose_lite.deploy.int8_nodes import INT8_NODES, patterns_of
from mmpose_lite.deploy.outputs import Outputs
from mmpose_lite.deploy.quantization import crops_of, matching
from mmpose_lite.models import backbones

LOOSE = dict(median=1e3, p95=1e3)


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    root = tmp_path_factory.mktemp('toy')
    generate_toy_coco(root, 4, 4, (96, 96))
    return root / 'annotations' / 'person_keypoints_train.json', root / 'train'


@pytest.fixture(scope='module')
def scenes(toy):
    return coco_scenes(*toy)


@pytest.mark.parametrize('suffix', ['onnx', 'xml'])
def test_named_products_are_in_int8(toy, tmp_path, suffix):
    form = 'onnx' if suffix == 'onnx' else 'openvino'
    done = export_small(
        write_estimator(tmp_path), tmp_path / f'm.{suffix}', format=form,
        precision='int8', calibrate=toy, tolerance=LOOSE, int8_nodes=('*/stages.*',),
    )  # fmt: skip
    assert done.contract.precision == 'int8'
    assert 0 < done.difference.relative < 0.5
    if suffix == 'onnx':
        graph = onnx.load(tmp_path / 'm.onnx').graph
        makers = {output: n for n in graph.node for output in n.output}
        fed = {
            n.name: getattr(makers.get(n.input[1]), 'op_type', 'stored')
            for n in graph.node
            if n.op_type == 'Conv'
        }
        chosen = matching(list(fed), ('*/stages.*',))
        assert 0 < len(chosen) < len(fed)
        assert {fed[name] for name in chosen} == {'DequantizeLinear'}
        assert {fed[n] for n in fed if n not in chosen} == {'stored'}


def test_no_node_of_that_name(toy, tmp_path):
    files, out = write_estimator(tmp_path), tmp_path / 'm.onnx'
    with pytest.raises(ValueError, match=r'no node of the network is named like \*/x'):
        export_small(files, out, precision='int8', calibrate=toy, int8_nodes=('*/x',))
    assert not out.exists()


def test_every_family_of_the_table_exists():
    for name in INT8_NODES:
        assert hasattr(backbones, name)
        assert patterns_of(name) == INT8_NODES[name]
    with pytest.raises(ValueError, match='not for ResNet'):
        patterns_of('ResNet')


def test_matching():
    names = ['/a/stem/Conv', '/a/Conv', '/head/final_layer/Conv']
    assert matching(names, ('*/stem/*', '*final*')) == names[::2]


def test_crops_for_calibration(scenes):
    told = []
    crops = list(crops_of(scenes, contract(), lambda *done: told.append(done)))
    assert len(crops) == scenes.people
    assert {crop.shape for crop in crops} == {(1, 3, 96, 64)}
    assert told == [(i + 1, len(crops)) for i in range(len(crops))]


class TestEvaluation:
    def perfect(self, scenes, noise=0.0):
        labels = [r['keypoints'] for s in scenes.scenes for r in s.annotations]
        joints = np.array(labels, float).reshape(len(labels), 17, 3)
        rng = np.random.default_rng(0)
        keypoints = joints[..., :2] + noise * rng.standard_normal((len(labels), 17, 2))
        heatmaps = np.zeros((len(labels), 17, 4, 4), np.float32)
        return Outputs(heatmaps, keypoints, np.full((len(labels), 17), 0.9))

    def test_truth_is_found(self, scenes):
        evaluated = Evaluated(self.perfect(scenes), [scenes])
        assert evaluated.precision() == pytest.approx(100)
        assert evaluated.precision(np.array([1, 1, 0, 3])) == pytest.approx(100)

    def test_noise_costs(self, scenes):
        found, exact = self.perfect(scenes, 6.0), self.perfect(scenes)
        measured = cost(found, exact, [scenes], rounds=50)
        assert measured.reference_ap == pytest.approx(100)
        assert measured.ap < 90
        assert measured.low <= measured.ap - measured.reference_ap <= measured.high < 0
        assert 4 < measured.median < 10 < measured.p95 < 20

    def test_nothing_is_lost_between_equals(self, scenes):
        exact = self.perfect(scenes)
        measured = cost(exact, exact, [scenes], rounds=5)
        assert (measured.median, measured.low, measured.high) == (0, 0, 0)

    def test_repeated_images_count_twice(self, scenes):
        evaluated = Evaluated(self.perfect(scenes, 3.0), [scenes])
        once = evaluated.precision()
        count = np.arange(len(scenes.scenes))
        assert evaluated.precision(np.tile(count, 2)) == pytest.approx(once, abs=3)
        single = [evaluated.precision(np.array([i])) for i in count]
        assert min(single) <= once <= max(single)

    def test_people_without_labels(self, scenes, toy):
        outputs = self.perfect(scenes)
        few = Outputs(*(v[:1] for v in outputs.arrays))
        with pytest.raises(ValueError, match='annotated with the 17 keypoints'):
            cost(few, few, [scenes])
