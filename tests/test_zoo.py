from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT

from mmpose_lite.zoo import find_model, list_models


def test_names_are_unique_and_lead_to_configs():
    models = list_models()
    names = Counter(name for row in models for name in (row.name, *row.aliases))
    assert len(models) > 50
    assert [name for name, count in names.items() if count > 1] == []
    for row in models:
        assert Path(row.config) == ROOT / row.config
        assert Path(row.config).is_file()
        assert row.aliases, f'{row.name} has no short name'


S18 = 'td-hm_xhrnet-s18_8xb64-210e_{}'
TOY = 'td-hm_xhrnet-toy_1xb16-2e_toy-128x96'  # not in the zoo, but packaged


@pytest.mark.parametrize(
    ('name', 'config'),
    [
        ('xhrnet-s18', f'xhrnet/{S18}'.format('coco-256x192')),
        ('XHRNet-S18', f'xhrnet/{S18}'.format('coco-256x192')),
        (S18.format('mpii-256x256'), f'xhrnet/{S18}'.format('mpii-256x256')),
        (TOY, f'demo/{TOY}'),
    ],
)
def test_what_a_name_stands_for(name, config):
    assert Path(find_model(name).config) == ROOT / 'configs' / f'{config}.py'


def test_path_of_a_config_of_ones_own(tmp_path):
    config = tmp_path / 'mine.py'
    config.touch()
    assert find_model(str(config)).config == str(config)


@pytest.mark.parametrize(
    ('name', 'nearest'),
    [
        ('xhrnet-s81', 'xhrnet-s18'),
        ('lite-hrnet18', 'litehrnet-18'),
        ('tinypose', 'tinypose-128x96'),
        ('token-pose-b', 'tokenpose-b'),
    ],
)
def test_unknown_name_lists_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=f'no model {name!r}.*nearest:.*{nearest}'):
        find_model(name)
