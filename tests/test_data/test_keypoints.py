"""Descriptions of keypoints, and the command that writes them for MMPose."""

import json

import pytest
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from mmpose_lite import cli
from mmpose_lite.data import describe_keypoints
from mmpose_lite.data.keypoints import (
    COCO_KEYPOINTS,
    COCO_LINKS,
    COLOURS,
    dataset_info,
    find_pairs,
    pair_problem,
    sigma_of,
)


def coco(names, skeleton=(), people=()):
    category = dict(id=1, name='person', keypoints=names, skeleton=skeleton)
    return dict(categories=[category], annotations=list(people))


@pytest.mark.parametrize(
    ('left', 'right'),
    [
        ('left_knee', 'right_knee'),
        ('LeftAnkle', 'RightAnkle'),
        ('kneeLeft', 'kneeRight'),
        ('l_eye', 'r_eye'),
        ('toe.L', 'toe.R'),
        ('LEFT_EAR', 'RIGHT_EAR'),
        ('LShoulder', 'RShoulder'),
        ('eyeL', 'eyeR'),
        ('LSHO', 'RSHO'),
        ('lt_wrist', 'rt_wrist'),
        ('Left_Eye', 'right_eye'),
        ('forelegL4', 'forelegR4'),
        ('左肩', '右肩'),
        ('knie_links', 'knie_rechts'),
        ('genou gauche', 'genou droit'),
        ('rodilla_izquierda', 'rodilla_derecha'),
        ('левый_глаз', 'правый_глаз'),
        ('upright_left', 'upright_right'),
        ('kneeleft', 'kneeright'),
        ('L1', 'R1'),
    ],
)
def test_pairs_of_names(left, right):
    others = ('tail', 'skull', 'upright', 'lip', 'collar')
    found = find_pairs([*others[:2], right, *others[2:], left])
    assert found == {left: ('left', right), right: ('right', left)}
    assert pair_problem([left, right, *others]) == ''


def test_names_without_twins_are_reported():
    assert 'other side of left_toe' in pair_problem(
        ['left_eye', 'right_eye', 'left_toe']
    )
    assert 'called left and right' in pair_problem(['head', 'neck', 'tail'])
    assert pair_problem(['tip']) == ''


def test_agrees_with_mmpose_on_coco():
    """What is guessed from COCO's names is what MMPose's own file says."""
    path = 'configs/_base_/datasets/coco.py'
    known = parse_pose_metainfo(dict(from_file=path))
    names = [known['keypoint_id2name'][i] for i in range(17)]
    links = [[a + 1, b + 1] for a, b in known['skeleton_links']]
    found = parse_pose_metainfo(describe_keypoints(coco(names, links), 'coco'))
    for key in ('flip_indices', 'upper_body_ids', 'lower_body_ids', 'skeleton_links'):
        assert list(found[key]) == list(known[key]), key
    assert found['sigmas'] == pytest.approx(known['sigmas'])
    assert tuple(names) == COCO_KEYPOINTS
    assert {frozenset(link) for link in known['skeleton_links']} == {
        frozenset(link) for link in COCO_LINKS
    }


@pytest.mark.parametrize('names', [('l_knee', 'r_knee'), ('left_knee', 'right_knee')])
def test_sides_have_colours_however_they_are_written(names):
    info = dataset_info([*names, 'nose', 'l_hip'], [(0, 1), (0, 0)], 'x')
    colours = [tuple(point['color']) for point in info['keypoint_info'].values()]
    # A hip without its twin has no side to change.
    expected = ('left', 'right', 'middle', 'middle')
    assert colours == [COLOURS[side] for side in expected]
    links = [tuple(link['color']) for link in info['skeleton_info'].values()]
    assert links == [COLOURS['middle'], COLOURS['left']]


def test_parts_that_coco_lacks():
    assert sigma_of('head_top') == sigma_of('tail') == 0.067
    assert sigma_of('left_inner_elbow') == sigma_of('elbowL') == 0.072
    info = describe_keypoints(coco(['left_ear', 'tail', 'left_toe']), 'cat')
    points = info['keypoint_info']
    assert [points[i]['swap'] for i in range(3)] == ['', '', '']
    assert [points[i]['type'] for i in range(3)] == ['upper', 'upper', 'lower']


@pytest.mark.parametrize(
    ('annotations', 'message'),
    [
        (dict(categories=[]), 'one category'),
        (dict(categories=coco(['a'])['categories'] * 2), 'one category'),
        (coco(['a', 'b', 'a']), "twice: \\['a'\\]"),
        (coco(['a'], people=[dict(id=7, keypoints=[0, 0])]), 'annotation 7 .* 3 x 1'),
        (coco(['a'], skeleton=[[1, 2]]), 'keypoints 1 to 1'),
        (coco(['a'], skeleton=[1, 2]), r'skeleton must be pairs .* got \[1, 2\]'),
        (coco(['a'], skeleton=[['a', 'b']]), 'skeleton must be pairs'),
        (coco([1, 2]), r'list of names, got \[1, 2\]'),
        (coco('nose'), "list of names, got 'nose'"),
        (coco([dict(name='a')]), 'list of names'),
        ([], 'must hold lists of objects'),
        (dict(categories=['a']), 'must hold lists of objects'),
        (dict(categories=None), 'one category'),
    ],
)
def test_refuses(annotations, message):
    with pytest.raises(ValueError, match=message):
        describe_keypoints(annotations, 'x')


def test_command_writes_what_mmpose_reads(tmp_path, capsys):
    source, target = tmp_path / 'a.json', tmp_path / 'cats.py'
    words = ['describe-keypoints', str(source), str(target)]
    source.write_text(json.dumps(coco(['left_eye', 'right_eye', 'tail'], [[1, 3]])))
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert 'left_eye: upper body, mirrored right_eye, sigma=0.025' in said
    info = parse_pose_metainfo(dict(from_file=str(target)))
    assert info['dataset_name'] == 'cats'
    assert info['flip_indices'] == [1, 0, 2]
    assert info['skeleton_links'] == [(0, 2)]
    assert Config.fromfile(target).dataset_info.sigmas == [0.025, 0.025, 0.067]
    source.write_text('{}')
    with pytest.raises(SystemExit) as failed:
        cli.main([*words, '--overwrite'])
    assert failed.value.code == 2
    assert 'one category' in capsys.readouterr().err
    source.write_text(json.dumps(coco(['left_eye', 'right_eye', 'left_toe'])))
    assert cli.main([*words, '--overwrite']) == 0
    assert 'warning: nothing is the other side of left_toe' in capsys.readouterr().err
