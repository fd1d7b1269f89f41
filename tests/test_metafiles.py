"""What the model zoo says is recomputed; what is generated is current."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from mmpose_lite.analysis import complexity

INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
METAFILES = [yaml.safe_load((ROOT / path).read_text()) for path in INDEX]
ENTRIES = [model for meta in METAFILES for model in meta['Models']]


@pytest.mark.parametrize('entry', ENTRIES, ids=lambda entry: entry['Name'])
def test_params_and_macs(entry):
    init_default_scope('mmpose')
    cfg = Config.fromfile(ROOT / entry['Config'])
    data = entry['Metadata']
    size = tuple(int(side) for side in data['Input Size'].split('x'))
    assert size == tuple(reversed(cfg.codec.input_size))
    found = complexity(MODELS.build(cfg.model), size)
    assert (found.params, found.macs) == (data['Parameters'], data['MACs'])
    assert ('Results' in entry) == ('Published' in data), 'a figure needs its source'


def test_every_published_recipe_is_listed_once():
    listed = [entry['Config'] for entry in ENTRIES]
    configs = [
        str(path.relative_to(ROOT))
        for path in ROOT.glob('configs/*/*.py')
        if path.parent.name not in ('_base_', 'demo')
        and not path.stem.endswith(('_lspet-128x96', '_toy-128x96'))
    ]
    assert sorted(listed) == sorted(configs)
    for entry in ENTRIES:
        assert entry['Config'].endswith(f'/{entry["Name"]}.py')


def test_collections_are_known():
    for meta in METAFILES:
        names = {collection['Name'] for collection in meta['Collections']}
        assert {model['In Collection'] for model in meta['Models']} <= names


def test_readme_table_is_current():
    command = [sys.executable, ROOT / 'tools' / 'model_table.py', '--check']
    assert subprocess.run(command, check=False).returncode == 0, (
        'run python tools/model_table.py'
    )
