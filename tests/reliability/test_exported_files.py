"""A model's file that is not the exported one is refused before an engine opens it.

The digest alone decides, so the files need not hold networks: what the engines would be
given is noted, and they never run.
"""

from __future__ import annotations

import json
import random

import pytest
from deploy_cases import contract

from mmpose_lite.deploy import PoseRuntime
from mmpose_lite.deploy.runtime import contract_path, pose
from mmpose_lite.deploy.runtime.contract import FORMATS, digests

from .checkpoint_files import cut, flip, shuffle

SECTION = (3, 'Hostile and broken checkpoints')
WAYS = {'cut': cut, 'flip': flip, 'piece': shuffle}
FILES = [(form, suffix) for form, suffixes in FORMATS.items() for suffix in suffixes]
DAMAGE = [
    (form, suffix, way, index)
    for form, suffix in FILES
    for way in WAYS
    for index in range(8)
]
CONTRACTS = [
    (form, way, index) for form in FORMATS for way in WAYS for index in range(8)
]


@pytest.fixture
def opened(monkeypatch):
    """What engines are given; they end there."""
    seen = []

    class Reached(Exception):
        pass

    def open_engine(contents, *_):
        seen.append(contents)
        raise Reached

    monkeypatch.setattr(pose, 'open_engine', open_engine)
    return seen, Reached


def write_model(folder, form):
    """Files of noise with the contract of a model, and their contents."""
    chance = random.Random(form)
    contents = {suffix: chance.randbytes(6000) for suffix in FORMATS[form]}
    for suffix, data in contents.items():
        (folder / f'model{suffix}').write_bytes(data)
    path = folder / f'model{FORMATS[form][0]}'
    known = contract(format=form, sha256=digests(contents))
    contract_path(path).write_text(known.to_json(), encoding='utf-8')
    return path, contents


@pytest.mark.parametrize('form', FORMATS)
def test_what_was_exported_is_opened(form, tmp_path, opened):
    path, contents = write_model(tmp_path, form)
    with pytest.raises(opened[1]):
        PoseRuntime(path)
    assert opened[0] == [contents]


def test_another_file_is_refused(campaign, tmp_path, opened):
    for form, suffix, way, index in campaign.choose(DAMAGE):
        path, contents = write_model(tmp_path, form)
        chance = random.Random(f'{form}{suffix}{way}{index}')
        changed = WAYS[way](contents[suffix], chance)
        assert changed != contents[suffix]
        damaged = path.with_suffix(suffix)
        damaged.write_bytes(changed)
        with pytest.raises(ValueError, match='is not the file that was exported') as no:
            PoseRuntime(path)
        assert str(damaged) in str(no.value)
        assert digests({'': changed})[''] in str(no.value)
        assert not opened[0]
        campaign.survived()


def test_a_damaged_contract_opens_no_other_file(campaign, tmp_path, opened):
    """Whatever became of the json, an engine is given what was exported or nothing."""
    for form, way, index in campaign.choose(CONTRACTS):
        path, contents = write_model(tmp_path, form)
        beside = contract_path(path)
        text = beside.read_bytes()
        chance = random.Random(f'{form}{way}{index}')
        beside.write_bytes(WAYS[way](text, chance))
        with pytest.raises((ValueError, OSError, opened[1])) as raised:
            PoseRuntime(path)
        if raised.type is opened[1]:
            assert opened[0].pop() == contents
        else:
            assert str(tmp_path) in str(raised.value)
        campaign.survived()


def test_a_digest_that_is_missing_is_no_digest(tmp_path, opened):
    path, _ = write_model(tmp_path, 'onnx')
    beside = contract_path(path)
    values = json.loads(beside.read_text(encoding='utf-8'))
    for digest in ({}, {'.onnx': ''}, {'.bin': values['sha256']['.onnx']}):
        beside.write_text(json.dumps(dict(values, sha256=digest)), encoding='utf-8')
        with pytest.raises(ValueError, match=r'model\.onnx is not the file'):
            PoseRuntime(path)
    assert not opened[0]
