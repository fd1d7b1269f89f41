"""The command lines under tools/, as users type them."""

import json

import pytest
from command_line import python
from conftest import ROOT

pytestmark = pytest.mark.slow


def call(tool, *arguments):
    """Run a tool; returns what it printed."""
    done = python(f'tools/{tool}.py', *arguments)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def annotations(path, joints):
    """A file of persons in a box of 100 x 200 px at (10, 20), one joint each."""
    people = [
        dict(bbox=[10, 20, 100, 200], keypoints=[x, y, 2 if seen else 0])
        for x, y, seen in joints
    ]
    path.write_text(json.dumps(dict(annotations=people)))
    return path


def test_constant_poses(tmp_path):
    """Most joints lie at (30, 40), their median does not, and one is not labelled."""
    at, far = (30, 40, True), [(90, 200, True), (100, 210, True), (95, 190, True)]
    train = annotations(tmp_path / 'train.json', [at] * 3 + far)
    val = annotations(tmp_path / 'val.json', [at, at, far[0], (90, 90, False)])
    out = call('constant_pose', train, val)
    found = {name: float(value) for name, value in map(str.split, out.splitlines())}
    assert found == dict(median=0, best=0.667)
    wide = call('constant_pose', train, val, '--threshold', 2)
    assert wide.split() == ['median', '1.000', 'best', '1.000']


def test_constant_poses_of_the_readme(shared):
    folder = shared / 'data' / 'lspet' / 'annotations'
    out = call('constant_pose', folder / 'lspet_train.json', folder / 'lspet_val.json')
    text = ' '.join((ROOT / 'README.md').read_text().split())
    _, median, _, best = out.split()
    assert f'median pose of the training set has {median[1:]}' in text
    assert f'best constant pose {best[1:]}' in text
