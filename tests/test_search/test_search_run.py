"""A whole search: what it removes, what a checkpoint holds, and that it survives."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
import torch
from killing import STATE, assert_same, last, live
from mmengine.runner import load_checkpoint
from mmpose.registry import MODELS
from search_run import NoisyPeople, model, model_cfg, runner, search

from mmpose_lite.training.epoch_end import averaged_model


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A runner that has searched for half of the supernet's MACs, with a journal."""
    work_dir = tmp_path_factory.mktemp('finished')
    reader, writer = os.pipe()
    assert live(work_dir, journal=writer, train=search)
    os.close(writer)
    with os.fdopen(reader) as journal:
        moments = journal.read().splitlines()
    return work_dir, moments


@pytest.fixture(scope='module')
def ended(tmp_path_factory):
    """The runner itself, after the same search in this process."""
    torch.manual_seed(0)
    return search(tmp_path_factory.mktemp('ended'))


def images():
    data = [NoisyPeople()[i] for i in range(4)]
    built = model()
    return built.data_preprocessor(
        dict(
            inputs=[d['inputs'] for d in data],
            data_samples=[d['data_samples'] for d in data],
        ),
        False,
    )['inputs']


def test_ends_at_the_target(ended):
    built = ended.model
    assert 0.95 <= built.cost() / (0.5 * built.full_cost) <= 1


def test_falls_geometrically_and_tells(ended):
    archs = [
        json.loads(Path(ended.work_dir, f'arch_epoch_{epoch}.json').read_text())
        for epoch in range(4)
    ]
    costs = [
        model().cost(MODELS.build(model_cfg(arch['blocks'])).backbone.arch)
        for arch in archs
    ]
    full = model().full_cost
    assert costs[0] == full
    for epoch, cost in enumerate(costs[1:], 1):
        assert cost <= full * 0.5 ** (epoch / 3)
    assert archs[-1] == ended.model.describe()


def test_averaged_weights_and_optimizer_follow(ended):
    built, average = ended.model, averaged_model(ended)
    assert average.module.backbone.arch == built.backbone.arch
    shapes = {name: p.shape for name, p in built.named_parameters()}
    assert shapes == {n: p.shape for n, p in average.module.named_parameters()}
    assert {k: v.shape for k, v in average.avg_parameters.items()} == {
        k: v.shape for k, v in built.state_dict().items()
    }
    groups = ended.optim_wrapper.optimizer.param_groups
    known = [p for group in groups for p in group['params']]
    assert [id(p) for p in known] == [id(p) for p in built.parameters()]
    assert len(groups) == len(list(model().parameters()))  # some are empty
    for parameter in known:
        state = ended.optim_wrapper.optimizer.state[parameter]
        assert state['exp_avg'].shape == state['exp_avg_sq'].shape == parameter.shape


def test_a_checkpoint_needs_no_architecture(ended):
    """Config of the supernet, weights of the shrunk network, nothing else."""
    path = Path(ended.work_dir, 'epoch_4.pth')
    fresh = MODELS.build(model_cfg())
    load_checkpoint(fresh, str(path), map_location='cpu', strict=True)
    assert fresh.backbone.arch == ended.model.backbone.arch
    averaged = averaged_model(ended).module.eval()
    x = images()
    with torch.no_grad():
        assert torch.equal(fresh.eval()(x, None), averaged(x, None))


def test_loading_as_a_start_takes_the_architecture(ended, tmp_path):
    path = str(Path(ended.work_dir, 'epoch_4.pth'))
    going_on = runner(
        tmp_path, target=None, epochs=1, load_from=path, shrink=dict(end=1)
    )
    going_on.train()
    arch = going_on.model.backbone.arch
    assert arch == ended.model.backbone.arch


def test_a_contradiction_names_both(ended, tmp_path):
    checkpoint = last(ended.work_dir)
    blocks = checkpoint['meta']['hrnas_arch']['blocks']
    entry = next(block for block in blocks if block[4])
    entry[4][0] += 1
    path = tmp_path / 'lie.pth'
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r'shapes BlockArch.*meta BlockArch'):
        runner(tmp_path, load_from=str(path)).train()


def test_searched_config_refuses_other_weights(ended):
    path = str(Path(ended.work_dir, 'epoch_4.pth'))
    full = runner(ended.work_dir).model.describe()['blocks']
    with pytest.raises(ValueError, match=r'config BlockArch.*weights BlockArch'):
        load_checkpoint(MODELS.build(model_cfg(full)), path, map_location='cpu')


def test_killed_and_resumed_ends_the_same(finished, tmp_path):
    """Bitwise: weights, averages, optimizer, architecture; also in mid-shrink."""
    reference, moments = finished
    cuts = [i for i, line in enumerate(moments, 1) if line.endswith('cut')]
    assert len(cuts) > 20
    rng = random.Random(1)
    struck = [rng.choice(cuts), rng.randint(1, len(moments) // 2), cuts[2]]
    for moment in struck:
        live(tmp_path, die_at=moment, train=search)
    assert live(tmp_path, train=search)
    one, other = last(reference), last(tmp_path)
    assert one['meta']['hrnas_arch'] == other['meta']['hrnas_arch']
    for key in STATE:
        assert_same(one[key], other[key], key)


def test_a_second_start_after_the_end_adds_nothing(tmp_path):
    def left():
        return {p.name: p.read_bytes() for p in tmp_path.glob('arch_*.json')}

    search(tmp_path)
    before = left()
    assert len(before) == 4
    search(tmp_path)
    assert left() == before


def test_the_penalty_alone_kills(tmp_path):
    """Without a target, what the penalty brought to zero leaves."""
    done = search(
        tmp_path,
        target=None,
        epochs=8,
        penalty=dict(weight=1.0, end=0),
        shrink=dict(end=8, threshold=0.3),
    )
    built = done.model
    assert 0 < built.cost() < 0.9 * built.full_cost


def test_the_last_shrink_must_come_before_the_end(tmp_path):
    with pytest.raises(ValueError, match='at most max_epochs 2, got 3'):
        runner(tmp_path, epochs=2).train()


def test_hooks_need_a_searchable_model(tmp_path):
    other = MODELS.build(
        {
            **{k: v for k, v in model_cfg().items() if k != 'resource'},
            'type': 'TopdownPoseEstimator',
        }
    )
    with pytest.raises(ValueError, match='SearchablePoseEstimator'):
        runner(tmp_path, model=other).train()
