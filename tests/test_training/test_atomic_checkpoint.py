"""The hook makes the files of mmengine's, whole, and deletes late."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from killing import Wrapped, assert_same, last, names
from mmengine.hooks import Hook
from small_run import Small, loader, runner

from mmpose_lite.io import files
from mmpose_lite.training import AtomicCheckpointHook
from mmpose_lite.training.reproducible.checkpoint import AtomicBackend

OFFERS = {
    'default': {},
    'every second': dict(interval=2),
    'last only': dict(interval=-1, save_last=True),
    'never': dict(interval=-1, save_last=False),
    'begin': dict(save_begin=2),
    'keep two': dict(max_keep_ckpts=2),
    'keep one': dict(max_keep_ckpts=1),
    'best': dict(save_best='one', rule='less'),
    'bests': dict(save_best=['one', 'two'], rule=['less', 'greater'], max_keep_ckpts=1),
    'auto': dict(save_best='auto', rule='less'),
    'best without epochs': dict(interval=-1, save_best='two', rule='less'),
    'iterations': dict(by_epoch=False, interval=2, max_keep_ckpts=2, save_best='two')
    | dict(rule='less'),
    'names': dict(filename_tmpl='after_{}_epochs.pth', max_keep_ckpts=1),
    'elsewhere': dict(out_dir='elsewhere'),
    'light': dict(save_optimizer=False, save_param_scheduler=False),
    'published': dict(published_keys=['meta', 'state_dict'], save_best='two')
    | dict(rule='less'),
}


def trained(work_dir, hook, options):
    if 'out_dir' in options:
        options = dict(options, out_dir=str(work_dir / options['out_dir']))
    lenient = dict(type='mmpose_lite.EpochSeedHook', strict=False)
    torch.manual_seed(0)
    runner(
        work_dir / 'run',
        default_hooks=dict(checkpoint=dict(dict(type=hook, interval=1), **options)),
        custom_hooks=[lenient],
        param_scheduler=None,
    ).train()
    return sorted(
        path.relative_to(work_dir)
        for pattern in ('**/*.pth', '**/last_checkpoint', '**/.*')
        for path in work_dir.glob(pattern)
    )


def published(path):
    """Name without the hash of the content, which holds the time."""
    return path.with_name(path.name.partition('-')[0])


@pytest.mark.parametrize('name', OFFERS)
def test_makes_the_files_of_mmengines_hook(tmp_path, name):
    one = trained(tmp_path / 'one', 'CheckpointHook', OFFERS[name])
    two = trained(tmp_path / 'two', 'mmpose_lite.AtomicCheckpointHook', OFFERS[name])
    assert [published(path) for path in one] == [published(path) for path in two]
    assert (one == []) == (name == 'never')
    for a, b in zip(one, two, strict=True):
        if a.suffix != '.pth':
            pointers = [Path(tmp_path, d, a).read_text() for d in ('one', 'two')]
            assert pointers[0].replace('/one/', '/two/') == pointers[1]
            continue
        first, second = (
            torch.load(tmp_path / 'one' / a),
            torch.load(tmp_path / 'two' / b),
        )
        assert first.keys() == second.keys()
        for key in first.keys() - {'meta', 'message_hub'}:
            assert_same(first[key], second[key], key)
        for key in ('epoch', 'iter', 'seed'):
            assert first['meta'][key] == second['meta'][key]


def test_takes_the_default_backend_of_mmpose():
    AtomicCheckpointHook(backend_args=dict(backend='local'), file_client_args=None)


def test_refuses_a_folder_it_cannot_rename_in(tmp_path):
    run = runner(tmp_path, checkpoint=dict(out_dir='s3://bucket/runs'))
    with pytest.raises(ValueError, match=r"out_dir='s3://bucket/runs' is not a local"):
        run.train()


def test_refuses_another_runner():
    class Other:
        pass

    with pytest.raises(ValueError, match=r"got a Other.*mmengine's Runner"):
        AtomicCheckpointHook().before_train(Other())


class Full(Wrapped):
    """A file on a disk that is full after its first bytes."""

    def write(self, data):
        self.file.write(data[:100])
        self.file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    'victim', ['epoch_2.pth', 'best_two_epoch_2', 'last_checkpoint.']
)
def test_full_disk_leaves_the_previous_checkpoint(tmp_path, monkeypatch, victim):
    one = dict(by_epoch=True, max_epochs=1, val_interval=1)
    runner(tmp_path, train_cfg=one).train()
    before = last(tmp_path)

    def open_on_full_disk(path, mode):
        file = open(path, mode)  # noqa: SIM115  (closed on exit)
        return Full(file) if victim in str(path) else file

    monkeypatch.setattr(files, 'open', open_on_full_disk, raising=False)
    with pytest.raises(OSError, match='No space left') as caught:
        runner(tmp_path, resume=True).train()
    if victim.endswith('pth'):
        assert 'MB could not be written, older files are untouched' in str(caught.value)
        assert caught.value.filename == str(tmp_path / victim)
    if victim.startswith('best'):
        assert last(tmp_path)['meta']['epoch'] == 2
        assert (tmp_path / 'best_two_epoch_1.pth').exists()
    else:
        assert_same(last(tmp_path)['state_dict'], before['state_dict'])
    assert not [name for name in names(tmp_path) if name.endswith('.part')]
    monkeypatch.undo()
    runner(tmp_path, resume=True).train()
    assert last(tmp_path)['meta']['epoch'] == 3


def test_hostile_names_in_a_checkpoint_delete_nothing(tmp_path):
    """What a file says is outdated counts for checkpoints of this folder only."""
    outside = tmp_path / 'epoch_7.pth'
    outside.write_bytes(b'')
    work_dir = tmp_path / 'run'
    one = dict(by_epoch=True, max_epochs=1, val_interval=1)
    runner(work_dir, train_cfg=one).train()
    for name in ('epoch_6.pth', 'notes.txt', 'my_epoch_5.pth', 'best_x_epoch_4.pth'):
        (work_dir / name).write_bytes(b'')
    named = ['../epoch_7.pth', str(outside), 'notes.txt', 'my_epoch_5.pth', 'vis_data']
    named += ['epoch_1.pth', 'epoch_6.pth', 'best_x_epoch_4.pth', 'epoch_9.pth']
    checkpoint = last(work_dir)
    checkpoint['meta']['outdated_files'] = named
    torch.save(checkpoint, work_dir / 'epoch_1.pth')
    runner(work_dir, resume=True, train_cfg=one).train()
    assert outside.exists()
    assert names(work_dir) == [
        *('best_one_epoch_1.pth', 'best_two_epoch_1.pth', 'epoch_1.pth'),
        *('last_checkpoint', 'my_epoch_5.pth', 'notes.txt'),
    ]


def test_copied_run_leaves_the_original_alone(tmp_path):
    """Mmengine's hook removes the best checkpoint by the path it was saved at."""
    one = dict(by_epoch=True, max_epochs=1, val_interval=1)
    runner(tmp_path / 'one', train_cfg=one).train()
    before = names(tmp_path / 'one')
    options = dict(resume=True, load_from=str(tmp_path / 'one' / 'epoch_1.pth'))
    runner(tmp_path / 'two', **options).train()
    assert 'best_two_epoch_2.pth' in names(tmp_path / 'two')
    assert names(tmp_path / 'one') == before


def test_deletes_only_what_is_not_written_anew(tmp_path):
    backend = AtomicBackend()
    old, again = tmp_path / 'old.pth', tmp_path / 'again.pth'
    for path in (old, again):
        backend.put(b'1', path)
        backend.remove(path)
    backend.put(b'2', again)
    assert old.exists()
    backend.remove_outdated(tmp_path, keep={'again.pth'})
    assert [path.name for path in tmp_path.iterdir()] == ['again.pth']
    assert backend.outdated == []


class Watch(Hook):
    """Counts validations, and changes the model as an architecture search does."""

    def __init__(self):
        self.validated = []

    def after_train_epoch(self, runner):
        runner.model.net[0].weight.data.zero_()

    def after_val_epoch(self, runner, metrics=None):
        self.validated.append(runner.epoch)


def test_holds_what_earlier_hooks_changed(tmp_path):
    """At any priority that comes before VERY_LOW."""
    for number in (0, 89):
        watch = Watch()
        watch.priority = number
        runner(tmp_path / str(number), custom_hooks=[watch]).train()
        state = last(tmp_path / str(number))['state_dict']
        assert not state['net.0.weight'].any()


def test_makes_up_for_a_validation_only_when_it_is_due(tmp_path):
    two = dict(by_epoch=True, max_epochs=4, val_interval=2)
    for file, expected in [
        ('epoch_1.pth', [2, 4]),  # none was due
        ('epoch_2.pth', [2, 4]),  # a kill before its end
        ('epoch_3.pth', [4]),
        ('epoch_4.pth', [4]),  # the last one too
    ]:
        if not (tmp_path / file).exists():
            options = dict(val_dataloader=None, val_cfg=None, val_evaluator=None)
            keep = dict(max_keep_ckpts=-1, save_best=None)
            runner(
                tmp_path,
                train_cfg=two,
                checkpoint=keep,
                param_scheduler=None,
                custom_hooks=[],
                **options,
            ).train()
        watch = Watch()
        runner(
            tmp_path / file[:7],
            train_cfg=two,
            hooks=[watch],
            load_from=str(tmp_path / file),
            resume=True,
        ).train()
        assert watch.validated == expected, file


def test_works_without_the_other_hook(tmp_path):
    """And for data that has no validation."""
    run = runner(
        tmp_path,
        custom_hooks=[],
        param_scheduler=None,
        train_dataloader=dict(loader(True), num_workers=0),
        checkpoint=dict(save_best=None),
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
    )
    run.train()
    assert names(tmp_path) == ['epoch_3.pth', 'last_checkpoint']
    Small().load_state_dict(last(tmp_path)['state_dict'])
