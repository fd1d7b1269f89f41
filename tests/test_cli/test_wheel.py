"""The wheel: what it holds, and that every verb works outside of the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from mmengine.fileio import load

from mmpose_lite import cli

# What a build reads; the rest of a working copy (.venv, data) would only be copied.
SOURCES = ('mmpose_lite', 'configs', 'tests', 'tools')
INDEX = load(ROOT / 'model-index.yml')


def call(*command, cwd, python=sys.executable):
    """Run a Python module or code in its own process.

    Returns:
        Its stdout, after checking that it ended well.
    """
    # Nothing of this checkout, unless it is installed there.
    variables = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    done = subprocess.run(
        [str(python), '-W', 'ignore', *command],
        cwd=cwd,
        env={**variables, 'OMP_NUM_THREADS': '1'},
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


def environment(folder):
    """Python of an environment of its own that has what the package needs, not it.

    A ``.pth`` file lends it the packages of this environment, but not their ``.pth``
    files, among them that of an editable installation.
    """
    call('-m', 'venv', '--without-pip', str(folder), cwd=folder)
    (site,) = folder.glob('lib/python*/site-packages')
    (site / 'lent.pth').write_text(f'{sysconfig.get_path("purelib")}\n')
    return folder / 'bin' / 'python'


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    """Python of an environment of its own that has the wheel."""
    python = environment(tmp_path_factory.mktemp('environment'))
    options = ('--no-deps', '--no-index', '--ignore-installed', str(wheel))
    call('-m', 'pip', '--python', str(python), 'install', *options, cwd=python.parent)
    return python


PROGRAMS = """
import os, runpy, sys
import torch, mmengine  # once, for all programs

for path in sys.argv[1:]:
    if os.fork() == 0:
        sys.argv, sys.path[0] = [path, '--help'], os.path.dirname(path)
        runpy.run_path(path, run_name='__main__')
    _, status = os.wait()
    assert status == 0, path
"""


@pytest.mark.slow
def test_programs_work_where_nothing_is_installed(tmp_path):
    python = environment(tmp_path)
    programs = [
        str(path)
        for path in sorted((ROOT / 'tools').glob('*.py'))
        if re.search("__name__ == '__main__'|\nrun_verb\\(", path.read_text())
    ]
    assert len(programs) > 10
    absent = 'import importlib.util as u; print(u.find_spec("mmpose_lite"))'
    assert call('-c', absent, cwd=tmp_path, python=python) == 'None\n'
    out = call('-c', PROGRAMS, *programs, cwd=tmp_path, python=python)
    assert out.count('usage: ') == len(programs)


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
    assert plain == {'numpy', 'pyyaml', 'rich', 'torch'}
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
    found = call('-m', 'mim', 'search', 'mmpose_lite', cwd=tmp_path, python=installed)
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
import mmpose_lite
from mmengine.config import Config
site = {str(installed.parents[1])!r}
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
    call('-c', code, cwd=tmp_path, python=installed)


def test_index_names_every_family():
    families = {Path(part).parent.name for part in INDEX['Import']}
    published = {path.parent.name for path in (ROOT / 'configs').glob('*/*_coco-*.py')}
    assert families == published
    for part in INDEX['Import']:
        assert (ROOT / part).is_file(), f'{part} is missing'


SMALL = '--train 16 --val 2 --cfg-options train_cfg.max_epochs=1'
SMALL += ' default_hooks.checkpoint.interval=1 default_hooks.logger.interval=1'
PEOPLE = 'toy/annotations/person_keypoints_val.json'
NET, SUPERNET = 'tinypose-128x96', 'td-hm_hrnas-mini_1xb16-6e_toy-128x96'
COMMANDS = {
    'env': ('', 'mmpose_lite:'),
    'list': ('litehrnet-18*', 'AP 64.8'),
    'config': (f'{NET} --copy mine.py', 'mine.py'),
    'demo': (f'--out demo --data toy {SMALL}', 'AP after training'),
    'toy-data': ('few --train 2 --val 1', 'few'),
    'check-data': (f'{PEOPLE} toy/val', ''),
    'describe-keypoints': (f'{PEOPLE} keypoints.py', 'keypoints.py'),
    'download': ('--list', 'tinypose-256x192-2022'),
    'convert': (f'random.pth converted.pth --config {NET}', 'load strictly'),
    'infer': (
        f'toy/val --model {NET} --weights converted.pth --boxes {PEOPLE} --out drawn',
        '2 images',
    ),
    'export': (
        # (Random weights give maps without clear peaks.)
        f'mine.py converted.pth net.onnx --images {PEOPLE} toy/val --batch dynamic'
        ' --tolerance p95=50 max=50',
        'net.onnx',
    ),
    'compare': (f'net.onnx net.onnx --images {PEOPLE} toy/val --rounds 10', '+0.00'),
    'explain': (
        f'toy/val/00000000.jpg --model {NET} --weights converted.pth --out gates.png',
        'gates.png',
    ),
    'retrain': ('searched.pth found --config search.py', 'arch.json'),
    'benchmark': (
        f'{NET} --engines onnxruntime --rounds 2 --input-size 64 64 --out times',
        'onnxruntime',
    ),
    'latency': (
        '--out table.json --engine pytorch --space mini --rounds 1 --calibration 1'
        ' --widths 1 --input-size 64 64',
        'table.json',
    ),
}
"""Verb to its arguments, and what it prints among other things; in order."""
DRIVER = f"""
import contextlib, io, json, sys
import torch, mmpose_lite
from mmpose_lite.cli import main
from mmpose_lite.paths import copy_config

assert mmpose_lite.__file__.startswith(sys.prefix), mmpose_lite.__file__
for name, file in (({NET!r}, 'random.pth'), ({SUPERNET!r}, 'searched.pth')):
    model = mmpose_lite.get_model(name)
    torch.save(dict(state_dict=model.state_dict()), file)
copy_config({SUPERNET!r}, 'search.py')
ended = {{}}
for verb, words in json.loads(sys.argv[1]).items():
    code, out = 0, io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = main([verb, *words.split()])
        except SystemExit as end:
            code = end.code
    ended[verb] = code, out.getvalue()
print(json.dumps(ended))
"""


@pytest.mark.slow
def test_every_verb_works_outside_of_the_checkout(installed, tmp_path):
    """All in one process, which spares them a start each, and two in the console."""
    assert set(cli.VERBS) <= set(COMMANDS)
    words = {verb: COMMANDS[verb][0] for verb in COMMANDS if verb in cli.VERBS}
    out = call('-c', DRIVER, json.dumps(words), cwd=tmp_path, python=installed)
    for verb, (code, said) in json.loads(out.splitlines()[-1]).items():
        assert code == 0, f'{verb} ended with {code}: {said[-3000:]}'
        assert COMMANDS[verb][1] in said, f'{verb} said {said[-3000:]}'
    for name in ('demo/predictions.png', 'drawn/00000000.jpg', 'net.onnx'):
        assert (tmp_path / name).stat().st_size > 100


def test_console_command_is_the_package(installed, tmp_path):
    command = [str(installed.with_name('mmpose-lite')), 'config', 'xhrnet-s18']
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(installed.parents[1]))
    assert call('-m', 'mmpose_lite', *command[1:], cwd=tmp_path, python=installed) == (
        done.stdout
    )
