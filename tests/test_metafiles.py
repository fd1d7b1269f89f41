"""What the model zoo says is recomputed; what is generated is current."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import documents
import mmpose
import modelindex as model_index
import pytest
import yaml
from conftest import ROOT

from mmpose_lite.zoo import DETECTOR, GROUND_TRUTH, NARROW, families, find_model

sys.path.insert(0, str(ROOT / 'tools'))
import model_zoo
from model_zoo import bibtex

INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
METAFILES = [yaml.safe_load((ROOT / path).read_text()) for path in INDEX]
PAGES = [(ROOT / path).parent / 'README.md' for path in INDEX]
ENTRIES = [model for meta in METAFILES for model in meta['Models']]
FILES = [(m, f) for family in families() for m in family.models for f in m.files]


def test_every_published_recipe_is_listed_once():
    listed = [entry['Config'] for entry in ENTRIES]
    configs = [
        str(path.relative_to(ROOT))
        for path in ROOT.glob('configs/*/*.py')
        if path.parent.name not in ('_base_', 'demo')
        and not path.stem.endswith(('_lspet-128x96', '_toy-128x96'))
        and not path.read_text().startswith('# The name of before')
    ]
    assert sorted(listed) == sorted(configs)
    for entry in ENTRIES:
        assert entry['Config'].endswith(f'/{entry["Name"]}.py')
        assert ('Results' in entry) == ('Published' in entry['Metadata']), entry


def test_collections_are_known():
    for meta in METAFILES:
        names = {collection['Name'] for collection in meta['Collections']}
        assert {model['In Collection'] for model in meta['Models']} <= names


def test_generated_pages_are_current():
    pages = model_zoo.pages().items()
    stale = [str(path) for path, text in pages if path.read_text() != text]
    assert stale == [], 'run python tools/model_zoo.py'


def test_stale_pages_are_named_and_written(tmp_path, monkeypatch, capsys):
    """One page is old, one is missing and one is current."""
    pages = {tmp_path / name: f'{name}\n' for name in ('old', 'missing', 'current')}
    (tmp_path / 'old').write_text('older\n')
    (tmp_path / 'current').write_text('current\n')
    monkeypatch.setattr(model_zoo, 'pages', lambda: pages)
    monkeypatch.setattr(model_zoo, 'ROOT', tmp_path)

    def call(*options):
        monkeypatch.setattr(sys, 'argv', ['model_zoo.py', *options])
        code = model_zoo.main()
        return code, [line.split()[0] for line in capsys.readouterr().out.splitlines()]

    assert call('--check') == (1, ['old', 'missing'])
    assert not (tmp_path / 'missing').exists()
    assert call() == (0, ['old', 'missing'])
    assert call('--check') == (0, [])
    assert {path: path.read_text() for path in pages} == pages


def test_counts_of_a_metafile_are_written():
    """Only the two numbers of the model that is measured change."""
    model = find_model('wider-naive-litehrnet-18-udp-128x96')
    path = Path(model.config).parent / 'metafile.yml'
    text = path.read_text()
    number = f'Parameters: {model.params}\n    MACs: {model.macs}\n'
    assert number in text
    before, _, after = text.partition(f'- Name: {model.name}\n')
    wrong = after.replace(number, 'Parameters: 1\n    MACs: 2\n', 1)
    old = f'{before}- Name: {model.name}\n{wrong}'
    assert old != text
    assert model_zoo.measured(old, [model]) == text
    assert model_zoo.metafiles('wider-*-128x96') == {path: text}


def test_every_family_has_a_page_with_what_its_metafile_says():
    zoo = families()
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
    (alias,) = set(re.findall(r'--model (\S+)', blocks[0].code))
    assert f'/{find_model(alias).name}.py' in blocks[0].code


def test_mmposes_weights_and_figures_are_those_of_its_metafiles():
    """All of Lite-HRNet in MMPose's own zoo; their names begin their digests."""
    folder = Path(mmpose.__file__).parent / '.mim/configs/body_2d_keypoint'
    theirs = {}
    for path in folder.glob('topdown_heatmap/*/litehrnet_*.yml'):
        for model in yaml.safe_load(path.read_text())['Models']:
            (result,) = model['Results']
            theirs[model['Weights']] = model['Name'], result['Metrics']
    names = {'Mean': 'PCKh@0.5', 'Mean@0.1': 'PCKh@0.1'}
    seen = set()
    for model, file in FILES:
        if file.alias.endswith('-mmpose'):
            assert f'-{file.sha256}_' in file.url
            assert len(file.sha256) == 8
            seen.add(file.url)
            name, metrics = theirs[file.url]
            assert model.name == name
            metrics = {names.get(key, key): value for key, value in metrics.items()}
            assert file.metrics.items() <= metrics.items()
    assert seen == set(theirs)


def test_paddles_weights_are_all_there(shared):
    """With the figures and configs of what PaddleDetection publishes."""
    path = shared / 'reference' / 'paddle' / 'models.json'
    theirs = {one['url']: one for one in json.loads(path.read_text())['models']}
    seen = {}
    for model, file in FILES:
        if file.url in theirs:
            seen[file.url] = file
            published = theirs[file.url]
            assert 100 * file.metrics['AP'] == pytest.approx(published['published_ap'])
            assert file.boxes == NARROW
            assert Path(file.url).stem in file.names
            assert model.size == '{}x{}'.format(*published['input_hw'])
    assert seen.keys() == theirs.keys()
    assert len({file.alias for file in seen.values()}) == 9


def test_public_weights_have_names_and_addresses():
    """Names are unique, and a model's weights are among its files."""
    files = [file for e in ENTRIES for file in e.get('Published Files', ())]
    names = [file['Alias'] for file in files if 'Alias' in file]
    models = [name for e in ENTRIES for name in (e['Name'], *e['Alias'])]
    assert len({*names, *models}) == len(names) + len(models)
    for file in files:
        assert ('Alias' in file) == ('URL' in file)
    for entry in ENTRIES:
        urls = [file.get('URL') for file in entry.get('Published Files', ())]
        assert ('Weights' in entry) == any(urls)
        assert entry.get('Weights') in (None, *urls)


def test_figures_of_files_name_their_source():
    for _, file in FILES:
        assert bool(file.metrics) == bool(file.source), file.names
        assert file.boxes in (DETECTOR, GROUND_TRUTH, NARROW)


def test_mim_reads_the_index_without_a_complaint(monkeypatch):
    """As ``mim search`` does, but for the package's installation."""
    monkeypatch.chdir(ROOT)
    index = model_index.load('model-index.yml')
    index.build_models_with_collections()
    assert [model.name for model in index.models] == [e['Name'] for e in ENTRIES]
    for model in index.models:
        assert Path(model.config).is_file()


def test_bibtex_of_a_paper():
    names = (('Öz', 'D. E.'), ('F', 'G'))
    authors = [{'family-names': last, 'given-names': first} for last, first in names]
    entry = dict(type='article', title="A-B: on C's", authors=authors, journal='J')
    entry |= dict(year=2020, url='https://x.org')
    assert bibtex(entry) == (
        '@article{öz2020ab,\n'
        "  title = {{A-B: on C's}},\n"
        '  author = {Öz, D. E. and F, G},\n'
        '  journal = {J},\n'
        '  year = {2020},\n'
        '  url = {https://x.org}\n'
        '}'
    )
