"""Public weights by name, from a server on this machine that mirrors both zoos."""

import hashlib
import io
import os
import pickle
import subprocess
import sys
from dataclasses import replace

import cv2
import pytest
import torch
from command_line import dataset_options, mmpose_script, run_verb
from conftest import ROOT
from mmengine.runner.checkpoint import CheckpointLoader
from web import serving

import mmpose_lite
from mmpose_lite import weights, zoo
from mmpose_lite.checkpoints import geometry_conflict, geometry_of, read_checkpoint
from mmpose_lite.io import download
from mmpose_lite.loading import build_model, load_model, read_config
from mmpose_lite.weights import fetch_weights, verify_weights
from mmpose_lite.zoo import find_model, public_file

TINY = 'tinypose-128x96-2021'


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return build_model(read_config(find_model(TINY).config)).state_dict()


@pytest.fixture(scope='module')
def paddle(network):
    """The network's weights as PaddleDetection publishes them."""
    arrays = {
        key.replace('head.final_layer', 'final_conv')
        .replace('.bn.', '.norm.')
        .replace('running_mean', '_mean')
        .replace('running_var', '_variance'): value.numpy()
        for key, value in network.items()
        if 'num_batches' not in key
    }
    return pickle.dumps(arrays, 4)


@pytest.fixture(scope='module')
def mmpose_file(network):
    """The network's weights as MMPose 0.x named them."""
    buffer = io.BytesIO()
    names = {key.replace('head.', 'keypoint_head.'): v for key, v in network.items()}
    torch.save(dict(state_dict=names, meta={}), buffer)
    return buffer.getvalue()


def path_of(name):
    return '/' + public_file(name)[1].url.partition('://')[2]


@pytest.fixture
def site(tmp_path, monkeypatch, paddle):
    monkeypatch.setattr(download, 'PAUSE', 0.0)
    monkeypatch.setenv(weights.HOME, str(tmp_path / 'home'))
    with serving() as site:
        monkeypatch.setenv(weights.MIRROR, f'{site.url}/')
        site.files[path_of(TINY)] = paddle
        yield site


@pytest.fixture
def wide(monkeypatch, mmpose_file, site):
    """A file with a known digest: MMPose's name, content of here."""
    known = hashlib.sha256(mmpose_file).hexdigest()[:8]

    def found(name, real=zoo.public_file):
        model, file = real(name)
        return (model, replace(file, sha256=known)) if file.sha256 else (model, file)

    monkeypatch.setattr(weights, 'public_file', found)
    name = 'litehrnet-18-mmpose'
    site.files[path_of(name)] = mmpose_file
    return name


def kept(tmp_path):
    return sorted(p.name for p in (tmp_path / 'home').rglob('*') if p.is_file())


def same(found, network):
    return found.keys() == network.keys() and all(
        torch.equal(found[key], value) for key, value in network.items()
    )


def test_fetched_once_converted_and_used_offline(site, tmp_path, network):
    path = fetch_weights(TINY)
    assert kept(tmp_path) == [f'{TINY}.pth', 'tinypose_128x96.pdparams']
    content = torch.load(path, weights_only=True)
    assert same(content['state_dict'], network)
    meta = content['meta']
    assert meta['geometry']['codec']['type'] == 'MSRAHeatmap'
    assert (meta['geometry']['codec']['sigma'], meta['boxes']) == (1, zoo.NARROW)
    assert (meta['geometry']['udp_warp'], meta['geometry']['shift_heatmap']) == (
        (True, True)
    )
    site.files.clear()
    for name in (TINY, f'mmpose_lite://{TINY}'):
        model = load_model(find_model(TINY).config, name)
        assert same(model.state_dict(), network)
    assert same(mmpose_lite.get_model(TINY, 'DEFAULT').state_dict(), network)
    assert same(mmpose_lite.inferencer(TINY).model.state_dict(), network)
    assert site.seen == [(path_of(TINY), None)]


def test_both_generations_have_names_of_their_own(site, tmp_path):
    with pytest.raises(OSError, match=r'404.*put into .*tinypose-128x96-2022; no down'):
        fetch_weights('tinypose-128x96')
    fetch_weights(TINY)
    with pytest.raises(OSError, match=f'no download needs: {TINY}$'):
        fetch_weights('tinypose-128x96')
    site.files[path_of('tinypose-128x96-2022')] = site.files[path_of(TINY)]
    assert fetch_weights('tinypose-128x96').parent != fetch_weights(TINY).parent


def test_mmengine_loads_names_and_paddles_files(site, tmp_path, network, paddle):
    file = tmp_path / 'x.pdparams'
    file.write_bytes(paddle)
    for where in (str(file), TINY, f'mmpose_lite://{TINY}', str(fetch_weights(TINY))):
        found = CheckpointLoader.load_checkpoint(where, 'cpu')
        assert same(found['state_dict'], network), where
    with pytest.raises(FileNotFoundError, match=r'tinypse.*nearest:.*tinypose-128x96'):
        CheckpointLoader.load_checkpoint('tinypse-128x96')
    with pytest.raises(FileNotFoundError, match=r'gone\.pth'):
        CheckpointLoader.load_checkpoint('gone.pth')


def test_converted_files_say_their_geometry(tmp_path, paddle):
    source, target = tmp_path / 'x.pdparams', tmp_path / 'x.pth'
    source.write_bytes(paddle)
    ended = run_verb('convert', source, target, '--config', TINY)
    assert 'note: PP-TinyPose needs' in ended.out
    geometry = read_checkpoint(target)['meta']['geometry']
    assert geometry == geometry_of(read_config(find_model(TINY).config))
    assert geometry['codec']['blur_kernel_size'] == 3


def geometry(udp=False, shift=True, **codec):
    codec = dict(type='MSRAHeatmap', input_size=[48, 64], sigma=2) | codec
    return dict(codec=codec, udp_warp=udp, shift_heatmap=shift)


@pytest.mark.parametrize(
    ('other', 'said'),
    [
        (geometry(), ''),
        ({}, ''),
        (geometry(unbiased=False, blur_kernel_size=5), ''),  # not used
        (geometry(sigma=3), 'sigma 2, here 3'),
        (geometry(sigma=3, input_size=[96, 128]), ''),
        (
            geometry(udp=True, shift=False),
            'udp_warp False, here True; shift_heatmap True, here',
        ),
        (geometry(type='UDPHeatmap'), 'codec MSRAHeatmap, here UDPHeatmap'),
        (geometry(unbiased=True), 'unbiased False, here True'),
    ],
)
def test_geometries_that_do_not_agree(other, said):
    found = geometry_conflict(geometry(), other)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_known_digests_are_compared(wide, site, tmp_path):
    fetch_weights(wide)
    assert verify_weights(weights.public_file(wide)[1]) == ''
    other = fetch_weights(wide).with_name(
        'litehrnet18_coco_256x192-6bace359_20211230.pth'
    )
    other.write_bytes(b'x')
    assert 'expected' in verify_weights(weights.public_file(wide)[1])
    other.unlink()
    assert verify_weights(weights.public_file(wide)[1]) == ''


@pytest.mark.parametrize('content', [b'other', b'<html>log in</html>'], ids=str)
def test_wrong_files_are_not_kept(site, tmp_path, paddle, content):
    site.files[path_of('litehrnet-18')] = content
    with pytest.raises(ValueError, match=r'SHA-256 is .*, expected 6bace359'):
        fetch_weights('litehrnet-18')
    # Nobody published a digest of this one: what it holds must tell.
    site.files[path_of(TINY)] = content
    with pytest.raises(ValueError, match=r'pdparams is damaged or no checkpoint'):
        fetch_weights(TINY)
    assert kept(tmp_path) == []
    site.files[path_of(TINY)] = paddle
    assert fetch_weights(TINY).is_file()


def test_a_file_that_was_put_there_is_taken(site, tmp_path, paddle, network):
    site.files.clear()
    with pytest.raises(OSError, match='put into') as caught:
        fetch_weights(TINY)
    assert '\n' not in str(caught.value)
    assert public_file(TINY)[1].url.partition('://')[2] in str(caught.value)
    folder = tmp_path / 'home' / 'weights' / TINY
    (folder / 'tinypose_128x96.pdparams').write_bytes(paddle)
    assert same(read_checkpoint(fetch_weights(TINY))['state_dict'], network)


def test_without_a_variable_the_cache_of_the_user_is_used(monkeypatch):
    file = public_file(TINY)[1]
    monkeypatch.delenv(weights.HOME, raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', '/cache')
    assert str(weights.weights_path(file)) == (
        f'/cache/mmpose_lite/weights/{TINY}/{TINY}.pth'
    )
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', '/home/me')
    assert str(weights.weights_folder(file)).startswith('/home/me/.cache/mmpose_lite/')


def test_verb(site, tmp_path):
    listed = run_verb('download', '--list').out
    assert listed.count('http') == len(list(weights.public_files())) == 15
    assert TINY in listed
    assert 'litehrnet-18-mpii-mmpose' in listed
    done = run_verb('download', TINY)
    path = tmp_path / f'home/weights/{TINY}/{TINY}.pth'
    assert done.out.split() == [str(path)]
    assert run_verb('download', '--verify').out == f'{TINY}: as downloaded\n'
    path.write_bytes(path.read_bytes()[:-100])
    ended = run_verb('download', '--verify')
    assert ended.code == 1
    assert 'damaged' in ended.out
    assert run_verb('download').code == 2
    assert 'nearest' in run_verb('download', 'tinypse-128x96').err


def test_importing_fetches_nothing(site):
    code = 'import mmpose_lite, mmpose.apis, mmpose_lite.inference, mmpose_lite.cli'
    words = [sys.executable, '-W', 'ignore', '-c', code]
    subprocess.run(words, check=True, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert site.seen == []


@pytest.mark.slow
def test_from_nothing_to_a_drawn_pose(site, tmp_path):
    """Two processes at once, with a connection that is cut."""
    site.faults[path_of(TINY)] = [('cut', 1_000_000)]
    cv2.imwrite(str(tmp_path / 'photo.png'), torch.zeros(64, 48, 3).byte().numpy())
    runs = [
        subprocess.Popen(
            [
                *(sys.executable, '-W', 'ignore', '-m', 'mmpose_lite', 'infer'),
                *('photo.png', '--model', TINY, '--out', f'drawn{index}'),
            ],
            cwd=tmp_path,
            env={**os.environ, 'PYTHONPATH': str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    for index, run in enumerate(runs):
        said, _ = run.communicate()
        assert run.returncode == 0, said
        assert (tmp_path / f'drawn{index}' / 'photo.png').is_file()
    assert kept(tmp_path) == [f'{TINY}.pth', 'tinypose_128x96.pdparams']


@pytest.mark.slow
@pytest.mark.parametrize('config', ['dark', 'plain'])
def test_mim_tests_by_name_and_says_when_the_geometry_is_another(
    site, tmp_path, config
):
    path = find_model(TINY).config
    if config == 'plain':
        path = tmp_path / 'plain.py'
        path.write_text(
            f'_base_ = [{find_model(TINY).config!r}]\n'
            'codec = dict(_delete_=True, type="UDPHeatmap", input_size=(96, 128),'
            ' heatmap_size=(24, 32), sigma=1)\n'
            'model = dict(head=dict(decoder=codec))\n'
        )
    toy = tmp_path / 'toy'
    run_verb('toy-data', toy, '--train', 1, '--val', 1)
    annotations = next(toy.rglob('*val*.json'))
    images = next(toy.rglob('val*/')).relative_to(toy)
    said = mmpose_script(
        *('test', path, tmp_path / 'work', TINY),
        **dataset_options(
            *('test', toy),
            ann_file=annotations.relative_to(toy),
            data_prefix__img=f'{images}/',
            bbox_file='None',
        ),
        test_evaluator__ann_file=annotations,
    )
    warned = 'trained with another geometry: ' in said
    assert warned == (config == 'plain')
    if warned:
        assert 'codec MSRAHeatmap, here UDPHeatmap' in said
