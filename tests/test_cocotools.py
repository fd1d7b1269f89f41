"""The stand-in for xtcocotools gives its statistics, which it recorded itself.

Rewriting them (``--update-goldens``) needs xtcocotools, and numpy 1 with it.
"""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mmpose_lite import compat
from mmpose_lite.compat import cocotools

GOLDEN = 'goldens/xtcocotools.json'
PARTS = dict(foot=6, face=68, lefthand=21, righthand=21)


def person(rng, joints, seen=None):
    """An annotated person: keypoints in a box, in hundredths of a pixel."""
    left, top, width, height = rng.randint((0, 0, 30, 40), (400, 300, 200, 300))
    places = rng.randint(0, 10000, (joints, 2)) / 1e4 * (width, height) + (left, top)
    seen = rng.randint(0, 3, joints) if seen is None else np.full(joints, seen)
    keypoints = np.column_stack([places.round(2) * (seen > 0)[:, None], seen])
    return dict(
        keypoints=keypoints.ravel().tolist(),
        bbox=[int(v) for v in (left, top, width, height)],
        area=int(width * height * 6) / 10,
        num_keypoints=int((seen > 1).sum()),
    )


def guess(rng, keypoints, spread):
    """Keypoints that are ``spread`` px off at most, and their scores."""
    found = np.reshape(keypoints, (-1, 3)).astype(float)
    found[:, :2] += rng.randint(-100, 101, (len(found), 2)) / 100 * spread
    found[:, 2] = rng.randint(1, 11, len(found)) / 10
    return found.round(4).ravel().tolist()


def made_up(seed, joints=17, whole=False):
    """Annotations and results: crowds, people without keypoints, equal scores, id 0."""
    rng = np.random.RandomState(seed)  # whose numbers never change
    images = [
        dict(id=i, width=640, height=640, file_name=f'{i}.jpg', crowdIndex=i % 10 / 10)
        for i in range(1, 31)
    ]
    records, results = [], []
    for image in images:
        for _ in range(rng.randint(0, 5)):
            record = person(rng, joints, seen=0 if rng.randint(8) == 0 else None)
            record |= dict(id=len(records), image_id=image['id'], category_id=1)
            if rng.randint(3):
                record['iscrowd'] = int(rng.randint(6) == 0)
            if whole:
                for part, count in PARTS.items():
                    found = person(rng, count, seen=0 if rng.randint(4) == 0 else None)
                    record[f'{part}_kpts'] = found['keypoints']
            records.append(record)
            for _ in range(rng.randint(0, 3)):
                spread = rng.randint(1, 25)
                found = dict(image_id=image['id'], category_id=1)
                for name in [n for n in record if n.startswith('key') or '_kpts' in n]:
                    found[name] = guess(rng, record[name], spread)
                if rng.randint(10) == 0:
                    found['keypoints'][2::3] = [-0.5] * joints
                found['score'] = rng.randint(1, 8) / 8
                if whole and rng.randint(2):
                    for part in PARTS:
                        found[f'{part}_score'] = rng.randint(1, 8) / 8
                results.append(found)
    truth = dict(images=images, annotations=records, info={})
    return truth | dict(categories=[dict(id=1, name='person')]), results


def few_joints():
    """Fourteen joints with sigmas of their own, and no numbers of keypoints."""
    truth, results = made_up(3, joints=14)
    for record in truth['annotations']:
        del record['num_keypoints']
    return truth, results


def nothing_found():
    return made_up(4)[0], []


SIGMAS = np.linspace(0.02, 0.1, 14)
WHOLE = np.linspace(0.02, 0.1, 17 + sum(PARTS.values()))
CASES = {
    'keypoints': (lambda: made_up(0), {}),
    'no areas': (lambda: made_up(1), dict(use_area=False)),
    'other sigmas': (few_joints, dict(sigmas=SIGMAS)),
    'crowd': (
        lambda: made_up(5, 14),
        dict(iouType='keypoints_crowd', sigmas=SIGMAS, use_area=False),
    ),
    'nothing found': (nothing_found, {}),
    **{
        name: (
            lambda: made_up(2, whole=True),
            dict(iouType=f'keypoints_{name}', sigmas=WHOLE[:count]),
        )
        for name, count in dict(PARTS, body=17, wholebody=len(WHOLE)).items()
    },
}


def evaluated(tools, truth, results, folder, **how):
    """The statistics, of files as MMPose writes them."""
    paths = folder / 'truth.json', folder / 'results.json'
    for path, content in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(content))
    coco = tools.COCO(str(paths[0]))
    evaluation = tools.COCOeval(coco, coco.loadRes(str(paths[1])), **how)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return list(evaluation.stats)


def tools():
    """The stand-in, and xtcocotools itself where it loads."""
    import xtcocotools.coco
    import xtcocotools.cocoeval

    yield cocotools
    if compat.RECORD['xtcocotools'].startswith('not needed'):
        yield SimpleNamespace(
            COCO=xtcocotools.coco.COCO, COCOeval=xtcocotools.cocoeval.COCOeval
        )


def check(name, truth, results, how, request, folder):
    path = request.config.rootpath / 'tests' / GOLDEN
    golden = json.loads(path.read_text()) if path.exists() else {}
    found = [evaluated(each, truth, results, folder, **how) for each in tools()]
    if request.config.getoption('update_goldens'):
        assert len(found) == 2, 'xtcocotools does not load here'
        golden[name] = found[1]
        path.write_text(json.dumps(golden, indent=1) + '\n')
    for stats in found:
        np.testing.assert_allclose(stats, golden[name], rtol=0, atol=1e-12)
    return golden[name]


@pytest.mark.filterwarnings("ignore:'.*_score' not found:UserWarning")
@pytest.mark.filterwarnings('ignore:.*unclosed file')  # xtcocotools leaves some
@pytest.mark.parametrize('name', CASES)
def test_statistics_are_those_of_xtcocotools(name, request, tmp_path):
    make, how = CASES[name]
    truth, results = make()
    stats = check(name, truth, results, how, request, tmp_path)
    assert (max(stats) > 0.1) == bool(results)


def test_statistics_of_real_people(shared, request, tmp_path):
    path = shared / 'data/coco_mini/annotations/person_keypoints_val2017.json'
    truth, rng = json.loads(path.read_text()), np.random.RandomState(0)
    results = [
        dict(
            image_id=record['image_id'],
            category_id=1,
            keypoints=guess(rng, record['keypoints'], record['bbox'][2] / 8),
            score=rng.randint(1, 8) / 8,
        )
        for record in truth['annotations']
    ]
    stats = check('coco_mini', truth, results, {}, request, tmp_path)
    assert 0.2 < stats[0] < 0.9


def test_annotations_stay_as_they_are(tmp_path):
    """But crowds are marked, which MMPose's data sets ask for."""
    truth, results = made_up(0)
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(truth))
    coco = cocotools.COCO(str(path))
    evaluation = cocotools.COCOeval(coco, coco.loadRes(results))
    evaluation.evaluate()
    for record in truth['annotations']:
        assert coco.anns[record['id']] == dict({'iscrowd': False}, **record)
    assert set(coco.getAnnIds(iscrowd=False)) < set(coco.getAnnIds())


def test_other_kinds_are_refused():
    with pytest.raises(ValueError, match=r"iouType='bbox' needs .*keypoints_crowd"):
        cocotools.COCOeval(iouType='bbox')


# pycocotools 2.0.11 does not know numpy 2's `copy` yet.
@pytest.mark.filterwarnings('ignore:__array__ implementation:DeprecationWarning')
def test_whole_module_stands_in():
    """As much of it as MMPose imports, under the names that it uses."""
    names = [f'{cocotools.__name__}.{part}' for part in ('coco', 'cocoeval', 'mask')]
    coco, cocoeval, mask = (sys.modules[name] for name in names)
    assert coco.COCO is cocotools.COCO
    assert cocoeval.COCOeval is cocotools.COCOeval
    square = mask.decode(mask.frPyObjects([[0, 0, 2, 0, 2, 2, 0, 2]], 3, 3))
    assert square.sum() == 4
