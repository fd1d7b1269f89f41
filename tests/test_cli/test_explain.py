"""``mmpose-lite explain``: pictures of people and of architectures."""

import json

import cv2
import numpy as np
import pytest
import torch
from command_line import run_tool
from explain_models import HEIGHT, WIDTH, scene, shrunk

from mmpose_lite.cli import main
from mmpose_lite.explain import draw_architecture
from mmpose_lite.models.backbones.hrnas_arch import dump_arch

SPARSE = 'configs/tokenpose/td-hm_tokenpose-s-v1-sparse_1xb32-8e_lspet-128x96.py'


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'scene.png'
    cv2.imwrite(str(path), scene())
    return path


def test_a_picture_of_one_person(image, tmp_path, capsys):
    out = tmp_path / 'new' / 'explained.png'
    words = ['--model', 'tinypose-128x96', '--out', out, '--device', 'cpu']
    words += ['--keypoints', 'nose']
    assert main(list(map(str, ['explain', image, *words]))) == 0
    assert str(out) in capsys.readouterr().out
    assert cv2.imread(str(out)).std() > 5


def test_people_of_an_annotation_file(image, tmp_path):
    joints = [WIDTH / 2, HEIGHT / 2, 2] * 17
    person = dict(image_id=1, category_id=1, num_keypoints=17, keypoints=joints)
    boxes = [[5, 5, 60, 90], [20, 20, 40, 60], [1, 1, 90, 90]]
    people = [dict(person, id=i, bbox=box) for i, box in enumerate(boxes)]
    content = dict(
        images=[dict(id=1, file_name=image.name, width=WIDTH, height=HEIGHT)],
        annotations=people,
        categories=[dict(id=1, name='person')],
    )
    coco = tmp_path / 'people.json'
    coco.write_text(json.dumps(content))
    heights = []
    for options in ([], ['--skip', 1], ['--skip', 1, '--count', 1]):
        out = tmp_path / 'out.png'
        words = ['explain', image, '--model', 'tinypose-128x96', '--coco', coco]
        main([*map(str, [*words, '--out', out, '--device', 'cpu', *options])])
        heights.append(cv2.imread(str(out)).shape[0])
    assert heights == [3 * heights[2], 2 * heights[2], heights[2]]


@pytest.mark.parametrize(
    ('source', 'options', 'message'),
    [
        ('none.png', [], 'none.png'),
        ('scene.png', ['--keypoints', 'tail'], 'keypoints must be among'),
        ('scene.png', ['--model', 'tinypose'], 'nearest: tinypose-128x96'),
        ('scene.png', ['--weights', 'none.pth'], 'none.pth'),
        ('scene.png', ['--only', 'pruning'], 'only a TokenPoseHead'),
        ('scene.png', ['--skip', '3'], 'there are no people'),
    ],
)
def test_what_is_wrong_is_one_line(image, source, options, message, tmp_path, capsys):
    words = [image.parent / source, '--model', 'tinypose-128x96', *options]
    words += ['--out', tmp_path / 'explained.png', '--device', 'cpu']
    with pytest.raises(SystemExit) as end:
        main(['explain', *map(str, words)])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith('error: ')
    assert message in told
    assert not (tmp_path / 'explained.png').exists()


def test_toy_people_in_two_modes_under_the_old_name(tmp_path):
    # Two people, or one with a row for each query and one of who keeps each key.
    height = {}
    for mode, count in (('token', 2), ('mask', 1)):
        out = tmp_path / f'{mode}.png'
        changes = f'model.head.sparse_cfg.mode={mode}'
        run_tool(
            'draw_pruning', '--config', SPARSE, '--out', out, '--count', count,
            '--device', 'cpu', '--cfg-options', changes,
        )  # fmt: skip
        height[mode], width, _ = cv2.imread(str(out)).shape
        assert width == 1240
    assert height['token'] > height['mask'] > 600


def test_architectures_of_files_configs_and_checkpoints(tmp_path):
    net = shrunk()
    mapping = dump_arch(net.space, net.arch, (48, 64))
    arch, config = tmp_path / 'arch.json', tmp_path / 'config.py'
    arch.write_text(json.dumps(mapping))
    config.write_text(
        "model = dict(backbone=dict(arch='{{fileDirname}}/arch.json'),"
        ' head=dict(decoder=dict(input_size=(48, 64))))\n'
    )
    weights = {f'backbone.{key}': value for key, value in net.state_dict().items()}
    checkpoint = tmp_path / 'net.pth'
    torch.save(dict(state_dict=weights, meta=dict(hrnas_arch=mapping)), checkpoint)
    pictures = []
    for source in (arch, config, checkpoint):
        out = tmp_path / f'{source.name}.png'
        run_tool('draw_arch', source, '--out', out, '--title', 'same')
        pictures.append(cv2.imread(str(out)))
    expected = draw_architecture(net.space, net.arch, 'same', '', (64, 48))
    assert pictures[0].shape == expected.shape
    assert all(np.array_equal(pictures[0], other) for other in pictures[1:])
    # But for the line of costs, which the command adds.
    assert (pictures[0] != expected).any(axis=-1).mean() < 0.02
