"""What the model zoo says is recomputed; what is generated is current."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import documents
import mmpose
import modelindex as model_index
import pytest
import yaml
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from mmpose_lite.analysis import complexity
from mmpose_lite.zoo import find_model

sys.path.insert(0, str(ROOT / 'tools'))
from zoo import metafiles
from zoo.citation import bibtex

INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
METAFILES = [yaml.safe_load((ROOT / path).read_text()) for path in INDEX]
PAGES = [(ROOT / path).parent / 'README.md' for path in INDEX]
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


def test_generated_pages_are_current():
    command = [sys.executable, ROOT / 'tools' / 'model_table.py', '--check']
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, (
        f'run python tools/model_table.py: {done.stdout}{done.stderr[-2000:]}'
    )


def test_stale_pages_are_named_and_written(tmp_path):
    """On a copy, one page of which is old and one of which is missing."""
    for name in ('tools', 'configs', 'mmpose_lite'):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns('__pycache__')
        )
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, tmp_path)
    chinese = tmp_path / 'README_zh-CN.md'
    chinese.write_text(chinese.read_text().replace('| 256x192 |', '| 192x256 |', 1))
    (tmp_path / 'configs' / 'psa' / 'README.md').unlink()

    def call(*options):
        words = [sys.executable, '-W', 'ignore', 'tools/model_table.py', *options]
        return subprocess.run(
            words, cwd=tmp_path, check=False, capture_output=True, text=True
        )

    stale = call('--check')
    assert stale.returncode == 1
    names = [line.split()[0] for line in stale.stdout.splitlines()]
    assert sorted(names) == ['README_zh-CN.md', 'configs/psa/README.md']
    assert not (tmp_path / 'configs' / 'psa' / 'README.md').exists()
    assert call().returncode == 0
    assert call('--check').returncode == 0
    for name in ('README_zh-CN.md', 'configs/psa/README.md'):
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()


def test_every_family_has_a_page_with_what_its_metafile_says():
    zoo = metafiles.families()
    assert [family.folder / 'metafile.yml' for family in zoo] == [
        ROOT / path for path in INDEX
    ]
    for family in zoo:
        text = (family.folder / 'README.md').read_text()
        flowing = ' '.join(text.split())
        for collection in family.collections:
            assert f'[{collection.title}]({collection.url})' in text
            assert ' '.join(collection.idea.split()) in flowing
            assert f'title = {{{{{collection.title}}}}}' in text
            for result in collection.own:
                (value,) = result['Metrics'].values()
                assert f'{value:.3f}' in text
        for model in family.models:
            (row,) = (line for line in text.splitlines() if f'[{model.name}]' in line)
            for word in (*model.aliases, model.size, f'{model.macs / 1e6:.1f} M'):
                assert word in row
            for value in model.metrics.values():
                assert f'| {100 * value:.1f} ' in row
            assert model.source in text


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.parent.name)
def test_links_and_commands_of_family_pages(page):
    for target in documents.links(page):
        assert (page.parent / target).exists(), target
    blocks = list(documents.blocks(page))
    assert [block.marks for block in blocks] == [{'reason': blocks[0].marks['reason']}]
    for name in re.findall(r'(?:configs|tools)/[\w./-]+\.py', blocks[0].code):
        assert (ROOT / name).is_file(), name
    (alias,) = re.findall(r'--model (\S+)', blocks[0].code)
    assert f'/{find_model(alias).name}.py' in blocks[0].code


def test_mmposes_weights_and_figures_are_those_of_its_metafiles():
    """The files that have an address: all of Lite-HRNet in MMPose's own zoo."""
    folder = Path(mmpose.__file__).parent / '.mim/configs/body_2d_keypoint'
    theirs = {}
    for path in folder.glob('topdown_heatmap/*/litehrnet_*.yml'):
        for model in yaml.safe_load(path.read_text())['Models']:
            (result,) = model['Results']
            theirs[model['Weights']] = model['Name'], result['Metrics']
    names = {'Mean': 'PCKh@0.5', 'Mean@0.1': 'PCKh@0.1'}
    seen = set()
    for family in metafiles.families():
        for model in family.models:
            for file in model.files:
                if file.url is None:
                    continue
                seen.add(file.url)
                name, metrics = theirs[file.url]
                assert model.name == name
                metrics = {names.get(key, key): value for key, value in metrics.items()}
                assert set(file.metrics) <= set(metrics)
                assert file.metrics == {key: metrics[key] for key in file.metrics}
    assert seen == set(theirs) == {e['Weights'] for e in ENTRIES if 'Weights' in e}


def test_figures_of_files_name_their_source():
    for family in metafiles.families():
        for model in family.models:
            for file in model.files:
                assert bool(file.metrics) == bool(file.source), file.names
                assert file.boxes in (metafiles.DETECTOR, metafiles.GROUND_TRUTH)


def test_mim_reads_the_index_without_a_complaint(monkeypatch):
    """As ``mim search`` does, but for the package's installation."""
    monkeypatch.chdir(ROOT)
    index = model_index.load('model-index.yml')
    index.build_models_with_collections()
    assert [model.name for model in index.models] == [e['Name'] for e in ENTRIES]
    for model in index.models:
        assert Path(model.config).is_file()


def test_bibtex_of_a_paper():
    entry = {
        'type': 'article',
        'title': "A-B: on C's",
        'authors': [
            {'family-names': 'Öz', 'given-names': 'D. E.'},
            {'family-names': 'F', 'given-names': 'G'},
        ],
        'journal': 'J',
        'year': 2020,
        'url': 'https://x.org',
    }
    assert bibtex(entry) == (
        '@article{öz2020ab,\n'
        "  title = {{A-B: on C's}},\n"
        '  author = {Öz, D. E. and F, G},\n'
        '  journal = {J},\n'
        '  year = {2020},\n'
        '  url = {https://x.org}\n'
        '}'
    )
