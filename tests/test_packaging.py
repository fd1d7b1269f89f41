"""The wheel carries configs and model index; mim and mmengine find them there."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from mmengine.fileio import load

# What a build reads; the rest of a working copy (.venv, data) would only be copied.
SOURCES = ('mmpose_lite', 'configs', 'tests', 'tools')
INDEX = load(ROOT / 'model-index.yml')


def call(*command, cwd, **variables):
    """Run a Python module or code in its own process.

    Returns:
        Its stdout, after checking that it ended well.
    """
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', *command],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f'{done.stdout}\n{done.stderr}'
    return done.stdout


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A copy of the source tree, for a build writes into the tree that it builds."""
    folder = tmp_path_factory.mktemp('source')
    ignore = shutil.ignore_patterns('__pycache__', '.mim', '*.egg-info')
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, folder)
    # As an earlier build leaves it: of a module that is gone by now.
    stale = folder / 'build' / 'lib' / 'mmpose_lite' / 'gone.py'
    stale.parent.mkdir(parents=True)
    stale.touch()
    return folder


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory):
    """The wheel, built as `pip install .` builds it."""
    folder = tmp_path_factory.mktemp('wheel')
    options = ('--no-deps', '--no-build-isolation', '--no-index')
    call('-m', 'pip', 'wheel', *options, '-w', str(folder), '.', cwd=source)
    (path,) = folder.glob('*.whl')
    return path


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    """Environment variables of processes for which the wheel is installed."""
    site = tmp_path_factory.mktemp('site')
    options = ('--no-deps', '--no-index', '--target', str(site))
    call('-m', 'pip', 'install', *options, str(wheel), cwd=site)
    return {'PYTHONPATH': str(site)}


def test_wheel_holds_package_and_configs_and_nothing_else(wheel, source):
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {
        f'mmpose_lite/.mim/{path.relative_to(ROOT).as_posix()}'
        for path in (ROOT / 'configs').rglob('*.*')
        if path.is_file() and '__pycache__' not in path.parts
    }
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / 'mmpose_lite').rglob('*')
        if path.suffix in ('.py', '.hpp')
    }
    expected = configs | modules | {'mmpose_lite/.mim/model-index.yml'}
    assert {name for name in names if '.dist-info/' not in name} == expected
    # The source tree stays without a copy that would grow stale.
    assert not (source / 'mmpose_lite' / '.mim').exists()


def test_wheel_does_not_drag_in_chumpy_or_mmpose(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (n for n in archive.namelist() if n.endswith('.dist-info/METADATA'))
    lines = archive.read(name).decode().splitlines()
    required = [line for line in lines if line.startswith('Requires-Dist: ')]
    plain = {
        line.split()[1].split('>')[0].split('<')[0]
        for line in required
        if 'extra ==' not in line
    }
    assert plain == {'numpy', 'torch'}
    assert not [line for line in required if 'chumpy' in line or 'mmpose' in line]
    version = next(line for line in lines if line.startswith('Version: '))
    text = (ROOT / 'mmpose_lite' / '__init__.py').read_text()
    assert f"__version__ = '{version.split()[1]}'" in text


def test_sdist_builds_the_same_wheel(source, wheel, tmp_path):
    call('setup.py', '-q', 'sdist', '-d', str(tmp_path), cwd=source)
    (archive,) = tmp_path.glob('*.tar.gz')
    options = ('--no-deps', '--no-build-isolation', '--no-index')
    call(
        '-m', 'pip', 'wheel', *options, '-w', str(tmp_path), str(archive), cwd=tmp_path
    )
    (again,) = tmp_path.glob('*.whl')
    names = (zipfile.ZipFile(path).namelist() for path in (again, wheel))
    assert len({frozenset(listed) for listed in names}) == 1


@pytest.mark.slow
def test_mim_search_lists_every_model(installed, tmp_path):
    found = call('-m', 'mim', 'search', 'mmpose_lite', cwd=tmp_path, **installed)
    models = [
        model['Name']
        for part in INDEX['Import']
        for model in load(ROOT / part)['Models']
    ]
    assert models
    assert [name for name in models if name not in found] == []


@pytest.mark.slow
def test_config_inherits_by_scope_and_by_path(installed, tmp_path):
    name = 'xhrnet/td-hm_xhrnet-s18_8xb64-210e_coco-256x192.py'
    code = f"""
import os
import mmpose_lite
from mmengine.config import Config
site = os.environ['PYTHONPATH']
assert mmpose_lite.__file__.startswith(site), mmpose_lite.__file__
path = mmpose_lite.config_path({name!r})
assert path.startswith(site), path
for base in ('mmpose_lite::{name}', path):
    with open('mine.py', 'w') as file:
        file.write(f"_base_ = {{base!r}}\\ntrain_cfg = dict(max_epochs=3)\\n")
    config = Config.fromfile('mine.py')
    assert config.model.backbone.type.endswith('XHRNet'), config.model.backbone
    assert config.train_cfg.max_epochs == 3
"""
    call('-c', code, cwd=tmp_path, **installed)


def test_index_names_every_family():
    families = {Path(part).parent.name for part in INDEX['Import']}
    published = {path.parent.name for path in (ROOT / 'configs').glob('*/*_coco-*.py')}
    assert families == published
    for part in INDEX['Import']:
        assert (ROOT / part).is_file(), f'{part} is missing'
