"""What exports are compared on: people of a file, of the config, or drawn."""

import json

import pytest

from mmpose_lite.deploy.samples import (
    coco_samples,
    config_samples,
    find_samples,
    folder_samples,
    toy_samples,
)


def config(folder, annotations='a.json', images=None):
    dataset = dict(data_root=str(folder), ann_file=annotations)
    dataset.update(data_prefix=dict(img=images) if images else {})
    return dict(val_dataloader=dict(dataset=dataset))


def test_of_the_config(toy):
    annotations, images = toy
    given = config(
        annotations.parents[1], f'annotations/{annotations.name}', images.name
    )
    assert config_samples(given) == find_samples((), given)
    assert find_samples((), given) == coco_samples(annotations, images)


def test_drawn_where_there_is_nothing():
    found = find_samples((), {})
    assert found == toy_samples()
    assert found.people >= len(found.samples) == 16
    assert all(one.image().ndim == 3 for one in found.samples[:2])


def test_folder(toy):
    found = find_samples([str(toy[1])], {})
    assert found == folder_samples(toy[1])
    assert found.people == 4
    assert found.first(2).people == 2


def test_first(toy):
    samples = coco_samples(*toy)
    assert 3 <= samples.first(3).people < 3 + max(s.people for s in samples.samples)


def test_nothing(tmp_path):
    with pytest.raises(ValueError, match='holds no images'):
        folder_samples(tmp_path)


def test_missing_image(toy, tmp_path):
    (tmp_path / 'a.json').write_bytes(toy[0].read_bytes())
    with pytest.raises(FileNotFoundError, match='is missing'):
        coco_samples(tmp_path / 'a.json', tmp_path)
    with pytest.raises(FileNotFoundError, match='is missing'):
        find_samples((), config(tmp_path))


def test_another_json(tmp_path):
    (tmp_path / 'a.json').write_text('[]')
    with pytest.raises(ValueError, match='no COCO json'):
        coco_samples(tmp_path / 'a.json', tmp_path)
    # Validation data of another kind are passed over.
    assert find_samples((), config(tmp_path)) == toy_samples()


def test_damaged_validation_data_are_reported(tmp_path):
    (tmp_path / 'a.json').write_text('{"images": [')
    with pytest.raises(ValueError, match=r'a\.json: it is no json, cut off or damaged'):
        find_samples((), config(tmp_path))


def test_missing_box_is_named(toy, tmp_path):
    content = json.loads(toy[0].read_text())
    del content['annotations'][1]['bbox']
    number = content['annotations'][1]['id']
    (tmp_path / 'a.json').write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=rf'a\.json: annotation {number}: bbox must be'
    ):
        coco_samples(tmp_path / 'a.json', toy[1])


def test_no_image(tmp_path):
    (tmp_path / 'a.jpg').write_text('no image')
    (sample,) = folder_samples(tmp_path).samples
    with pytest.raises(ValueError, match=r'a\.jpg: it is cut off'):
        sample.image()
