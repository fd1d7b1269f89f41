"""Former public names work, and warn of what they are called now."""

import pytest

import mmpose_lite.datasets
from mmpose_lite import data, deploy
from mmpose_lite.renamed import FORMER


@pytest.mark.parametrize('name', data.__all__)
def test_datasets_is_data(name):
    with pytest.warns(DeprecationWarning, match=f'is mmpose_lite.data.{name} now'):
        assert getattr(mmpose_lite.datasets, name) is getattr(data, name)


def test_names_of_deploy():
    for former, present in FORMER.items():
        with pytest.warns(DeprecationWarning, match=f'{former} is {present} now'):
            found = getattr(deploy, former.rpartition('.')[2])
        assert found is getattr(deploy, present.rpartition('.')[2])


def test_unknown_names_stay_unknown():
    for module in (mmpose_lite.datasets, deploy):
        with pytest.raises(AttributeError, match='has no attribute'):
            _ = module.nothing
