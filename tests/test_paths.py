"""Packaged configs are found in a checkout and in an installed wheel."""

import shutil

import pytest
from command_line import python
from conftest import ROOT
from mmengine.config import Config, utils

import mmpose_lite
from mmpose_lite import config_path, paths

CONFIGS = sorted(
    path.relative_to(ROOT / 'configs').as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
)


@pytest.mark.parametrize('name', CONFIGS)
def test_every_config_is_found(name):
    expected = str(ROOT / 'configs' / name)
    assert config_path(name) == expected
    assert config_path(name.removesuffix('.py')) == expected
    # Also by its file name alone, which is unique throughout.
    assert config_path(name.rpartition('/')[2]) == expected


def test_misspelt_name_lists_the_nearest():
    for name, message in (
        (
            'xhrnet/td-hm_xhrnet-s81_8xb64-210e_coco-256x192.py',
            "'xhrnet/td-hm_xhrnet-s81_.*td-hm_xhrnet-s18_8xb64-210e_coco-256x192",
        ),
        (
            'td-hm_litehrnet-19_8xb64-210e_coco-256x192',
            r'nearest: .*litehrnet/td-hm_litehrnet-18_',
        ),
        ('../setup.py', 'there is no config'),
    ):
        with pytest.raises(ValueError, match=message):
            config_path(name)


@pytest.fixture
def wheel_layout(tmp_path, monkeypatch):
    """A package folder as a wheel unpacks it, with a foreign ``configs`` beside it."""
    package = tmp_path / 'site-packages' / 'mmpose_lite'
    root = package / '.mim' / 'configs'
    for name in ('a/one.py', 'a/two.py', 'b/two.py'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (tmp_path / 'site-packages' / 'configs').mkdir()
    monkeypatch.setattr(paths, 'PACKAGE', package)
    return root


def test_installed_wheel_has_its_own_copy(wheel_layout):
    assert config_path('a/one') == str(wheel_layout / 'a' / 'one.py')
    assert config_path('one.py') == str(wheel_layout / 'a' / 'one.py')


def test_ambiguous_file_name_is_refused(wheel_layout):
    assert config_path('b/two') == str(wheel_layout / 'b' / 'two.py')
    with pytest.raises(ValueError, match=r"not unique.*'a/two.py', 'b/two.py'"):
        config_path('two')


def test_missing_configs_are_said(wheel_layout):
    shutil.rmtree(wheel_layout)
    with pytest.raises(FileNotFoundError, match='install the package again'):
        config_path('a/one')


def test_scope_is_known_to_mmengine_after_import():
    assert utils.MODULE2PACKAGE['mmpose_lite'] == 'mmpose_lite'


def test_scope_is_unknown_to_mmengine_by_itself():
    code = 'from mmengine.config import Config, utils; print(utils.MODULE2PACKAGE)'
    known = python('-c', code).stdout
    assert 'mmpose' in known
    assert 'mmpose_lite' not in known


def test_config_path_is_public():
    assert 'config_path' in mmpose_lite.__all__


@pytest.mark.parametrize('name', CONFIGS)
def test_copy_of_a_config_is_the_same_config(name, tmp_path):
    copied = paths.copy_config(name, tmp_path)
    assert copied == tmp_path / name.rpartition('/')[2]
    if not name.startswith('_base_'):
        first, second = (Config.fromfile(path) for path in (copied, config_path(name)))
        assert first.to_dict() == second.to_dict()


def test_a_copy_overwrites_nothing(tmp_path):
    (tmp_path / 'mine.py').write_text('mine')
    with pytest.raises(FileExistsError, match=r'mine\.py exists already'):
        paths.copy_config(CONFIGS[0], tmp_path / 'mine.py')
    assert (tmp_path / 'mine.py').read_text() == 'mine'
