"""Random numbers follow from seed, epoch and rank; what cannot be had is refused."""

from __future__ import annotations

import copy
import random
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch
from killing import STATE, assert_same, last
from mmengine.dataset import DefaultSampler
from small_run import Noisy, Small, loader, runner
from torch.utils.data import DataLoader, Dataset, IterableDataset

from mmpose_lite.training.reproducible.epoch_seed import (
    STEPS,
    SeededFetch,
    SeededLoader,
    seed_all,
)


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item()


def drawn(*key):
    seed_all(*key)
    return draw()


def test_every_key_is_a_stream_of_its_own():
    keys = [(1, STEPS, 2, 3), (2, STEPS, 1, 3), (1, STEPS, 3, 2), (1, 1, 2, 3), (0,)]
    streams = [drawn(*key) for key in keys]
    assert len({number for stream in streams for number in stream}) == 3 * len(keys)
    assert [drawn(*key) for key in keys] == streams


def test_devices_can_be_left_alone(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, 'manual_seed_all', seeded.append)
    seed_all(1, devices=False)
    assert seeded == []
    seed_all(1)
    assert len(seeded) == 1


def test_samples_follow_from_epoch_and_index():
    fetch = SeededFetch(Noisy(), seed=3)
    seed_all(5)
    expected = draw()
    seed_all(5)
    first = [sample['inputs'] for sample in fetch([4, 7])]
    assert draw() == expected  # the model's stream goes on as if nothing was loaded
    again = [sample['inputs'] for sample in fetch([7, 1, 4])]
    assert torch.equal(first[0], again[2])
    assert torch.equal(first[1], again[0])
    fetch.set_epoch(1)
    assert not torch.equal(fetch([4])[0]['inputs'], first[0])
    other = SeededFetch(Noisy(), seed=4)
    assert not torch.equal(other([4])[0]['inputs'], first[0])


def batches(workers, persistent, epochs, **options):
    """Inputs of some epochs, as a run that does them in this order sees them."""
    data = Noisy()
    sampler = options.pop('sampler', None) or DefaultSampler(data, seed=1)
    torch_loader = DataLoader(
        data,
        batch_size=4,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=persistent,
        **options,
    )
    seeded, out = SeededLoader(torch_loader, 9, 'train_dataloader'), {}
    for epoch in epochs:
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(epoch)
        seeded.begin(epoch)
        seed_all(9, STEPS, epoch)
        out[epoch] = [batch['inputs'] for batch in torch_loader]
    return out


@pytest.mark.parametrize(
    ('workers', 'options'),
    [
        (0, {}),
        (2, dict(persistent=True)),
        (2, dict(persistent=False)),
        pytest.param(
            1,
            dict(persistent=True, multiprocessing_context='spawn'),
            marks=pytest.mark.slow,  # the worker imports everything anew
        ),
    ],
    ids=['none', 'persistent', 'fresh', 'spawned'],
)
def test_epoch_does_not_know_what_was_before(workers, options):
    options = dict(dict(persistent=False), **options)
    whole = batches(0, False, [0, 1, 2])
    assert not torch.equal(whole[1][0], whole[2][0])
    assert_same(batches(workers, epochs=[0, 1, 2], **options), whole)
    assert_same(batches(workers, epochs=[2], **options)[2], whole[2])


@pytest.mark.parametrize('workers', [0, 2])
def test_order_from_the_global_generator(workers):
    """Torch's own sampler draws when it is first asked, after workers were started."""

    def sampled(epochs):
        sampler = torch.utils.data.RandomSampler(Noisy())
        return batches(workers, workers > 0, epochs, sampler=sampler)

    assert_same(sampled([2])[2], sampled([0, 1, 2])[2])


class Plain(Dataset):
    metainfo: ClassVar[dict] = {}

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return dict(inputs=torch.zeros(3), index=index)


class Endless(IterableDataset):
    metainfo: ClassVar[dict] = {}

    def __iter__(self):
        return iter([dict(inputs=torch.zeros(3), index=0)] * 8)

    def __len__(self):
        return 8


class Transform:
    def __init__(self, generator):
        self.steps = [partial(min, 0), dict(rng=generator)]


def with_data(dataset):
    return dict(train_dataloader=dict(loader(True), dataset=dataset))


STEP = dict(optimizer=dict(type='SGD', lr=0.1))
PLAIN_CHECKPOINT = dict(type='CheckpointHook', interval=1)
REFUSED = {
    'loop': (
        dict(
            train_cfg=dict(by_epoch=False, max_iters=9),
            train_dataloader=dict(loader(True), sampler=dict(type='InfiniteSampler')),
        ),
        'makes a IterBasedTrainLoop.*by_epoch=True',
    ),
    'order': (
        dict(
            train_dataloader=dict(loader(True), sampler=dict(type='InfiniteSampler')),
        ),
        'BatchSampler over InfiniteSampler.*DefaultSampler',
    ),
    'python': (
        with_data(Plain(pipeline=[Transform(random.Random(1))])),
        r"dataset\.pipeline\[0\]\.steps\[1\]\['rng'\] is a random generator",
    ),
    'numpy': (with_data(Plain(rng=np.random.default_rng(1))), r'dataset\.rng is'),
    'old numpy': (with_data(Plain(rng=np.random.RandomState(1))), r'dataset\.rng is'),
    'torch': (with_data(Plain(rng=torch.Generator())), r'dataset\.rng is'),
    'no index': (
        dict(train_dataloader=dict(loader(True), dataset=Endless(), sampler=None)),
        'train_dataloader has batch_size=4 and a data set of type Endless',
    ),
    'no batch': (
        dict(train_dataloader=dict(loader(True), batch_size=None)),
        'train_dataloader has batch_size=None',
    ),
    'accumulation': (
        dict(optim_wrapper=dict(STEP, accumulative_counts=2)),
        'accumulative_counts=2 does not divide the 3 steps',
    ),
    'early stopping': (
        dict(hooks=[dict(type='EarlyStoppingHook', monitor='one', rule='less')]),
        'EarlyStoppingHook',
    ),
    'no optimizer': (
        dict(checkpoint=dict(save_optimizer=False)),
        'AtomicCheckpointHook has save_optimizer=False',
    ),
    'no scheduler': (
        dict(checkpoint=dict(save_param_scheduler=False)),
        'AtomicCheckpointHook has save_param_scheduler=False',
    ),
    'iterations': (
        dict(checkpoint=dict(by_epoch=False)),
        'AtomicCheckpointHook has by_epoch=False',
    ),
    'plateau': (
        dict(default_hooks=dict(checkpoint=PLAIN_CHECKPOINT)),
        'ReduceOnPlateauLR steps after a validation.*mmpose_lite.AtomicCheckpointHook',
    ),
}


@pytest.mark.parametrize('name', REFUSED)
def test_refused_before_the_first_step(tmp_path, name):
    options, message = copy.deepcopy(REFUSED[name])
    run = runner(tmp_path, **options)
    before = copy.deepcopy(run.model.state_dict())
    with pytest.raises(ValueError, match=message):
        run.train()
    assert_same(run.model.state_dict(), before)


def test_all_reasons_at_once(tmp_path):
    options = dict(checkpoint=dict(save_optimizer=False, by_epoch=False))
    with pytest.raises(ValueError, match=r'\(1\).*\(2\).*strict=False'):
        runner(tmp_path, **options).train()


def lines(tmp_path, text):
    logs = sorted(tmp_path.glob('*/*.log'))
    found = [line for log in logs for line in log.read_text().splitlines()]
    return [line for line in found if text in line]


def test_lenient_hook_warns_and_trains(tmp_path):
    hooks = [dict(type='mmpose_lite.EpochSeedHook', strict=False)]
    runner(tmp_path, custom_hooks=hooks, checkpoint=dict(save_optimizer=False)).train()
    assert (tmp_path / 'epoch_3.pth').exists()
    (warning,) = lines(tmp_path, 'will not equal')
    assert 'WARNING' in warning
    assert 'save_optimizer=False' in warning


def test_generators_of_the_process_are_no_obstacle():
    """Some libraries keep a reference to the global ones."""
    data = Plain(rngs=[np.random.mtrand._rand, random._inst, torch.default_generator])
    seeded = SeededLoader(DataLoader(data), 1, 'train_dataloader')
    assert seeded.own_generators() == []
    data.rngs.append(random.Random(1))
    assert seeded.own_generators() == ['dataset.rngs[3]']


def quiet(work_dir, **options):
    """Without a `checkpoint` dict of one's own there is one file an epoch."""
    hooks = dict(checkpoint=dict(type='mmpose_lite.AtomicCheckpointHook', interval=1))
    torch.manual_seed(0)
    return runner(work_dir, default_hooks=hooks, log_level='INFO', **options)


@pytest.mark.parametrize('seed', [None, 11])
@pytest.mark.parametrize('diff_rank_seed', [False, True])
def test_seed_travels_with_the_checkpoint(tmp_path, seed, diff_rank_seed):
    """Resumed under another seed, or none, the run goes on with its first one."""
    first = dict(randomness=dict(seed=seed, diff_rank_seed=diff_rank_seed))
    one = quiet(tmp_path / 'one', **first)
    one.train()
    stored = last(tmp_path / 'one')['meta']['epoch_seed']
    assert stored['seed'] == one.seed
    assert isinstance(stored['sampler_seed'], int)
    origin = 'drawn at random' if seed is None else 'from randomness.seed'
    assert lines(tmp_path / 'one', f'seeded from {one.seed} ({origin}')
    other = quiet(
        tmp_path / 'two',
        randomness=dict(seed=None, diff_rank_seed=diff_rank_seed),
        load_from=str(tmp_path / 'one' / 'epoch_1.pth'),
        resume=True,
    )
    other.train()
    assert lines(tmp_path / 'two', f'seeded from {one.seed} (stored in the checkpoint)')
    ends = last(tmp_path / 'one'), last(tmp_path / 'two')
    assert ends[1]['meta']['epoch_seed'] == stored
    for key in STATE:
        assert_same(ends[0][key], ends[1][key], key)


def resumed(tmp_path, file, **options):
    options = dict(dict(load_from=str(tmp_path / file), resume=True), **options)
    return runner(tmp_path / 'resumed', **options)


def test_refuses_to_resume_from_what_lacks_state(tmp_path):
    two = dict(by_epoch=True, max_epochs=2, val_interval=1)
    runner(tmp_path, train_cfg=two).train()
    with pytest.raises(ValueError, match=r'no optimizer state.*last_checkpoint'):
        resumed(tmp_path, 'best_two_epoch_2.pth').train()
    data = dict(loader(True), dataset=Noisy(16))
    with pytest.raises(ValueError, match=r'iteration 6 and epoch 2.*has 4 steps'):
        resumed(tmp_path, 'epoch_2.pth', train_dataloader=data).train()
    checkpoint = torch.load(tmp_path / 'epoch_2.pth')
    checkpoint['meta']['epoch_seed']['world_size'] = 2
    torch.save(checkpoint, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='had 2 processes and now has 1'):
        resumed(tmp_path, 'other.pth').train()


def test_refuses_to_resume_within_an_epoch(tmp_path):
    checkpoint = dict(by_epoch=False, interval=2, save_best=None)
    lenient = [dict(type='mmpose_lite.EpochSeedHook', strict=False)]
    runner(tmp_path, custom_hooks=lenient, checkpoint=checkpoint).train()
    with pytest.raises(
        ValueError, match=r'iteration 9 and epoch 2.*middle of an epoch'
    ):
        resumed(tmp_path, 'iter_9.pth').train()


def test_says_what_was_trained_without_it(tmp_path):
    one_epoch = dict(by_epoch=True, max_epochs=1)
    runner(tmp_path, custom_hooks=[], train_cfg=one_epoch).train()
    quiet(tmp_path, resume=True).train()
    assert lines(tmp_path, 'seeded from 7 (not stored by this hook')


def test_weights_only_loading_is_left_alone(tmp_path):
    """Without resume a checkpoint is weights: nothing of its run counts."""
    runner(tmp_path).train()
    run = runner(
        tmp_path / 'tuned', load_from=str(tmp_path / 'best_two_epoch_2.pth'), seed=8
    )
    run.train()
    assert last(tmp_path / 'tuned')['meta']['epoch_seed']['seed'] == 8


def test_small_model_draws_random_numbers():
    """What the comparisons rest on: dropout takes from the steps' stream."""
    model = Small().train()
    inputs = torch.ones(4, 3)
    seed_all(1)
    one = model(inputs, None)
    assert not torch.equal(torch.stack(one), torch.stack(model(inputs, None)))
