"""The guard around data sets and steps, part by part; the whole is in reliability."""

from __future__ import annotations

import json
import pickle
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import init_default_scope
from mmpose.datasets import CombinedDataset
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.registry import DATASETS
from torch import multiprocessing, nn
from torch.utils.data import DataLoader, Dataset

from mmpose_lite.data import generate_toy_coco
from mmpose_lite.training.data_guard import DataGuardHook, pipeline
from mmpose_lite.training.data_guard.datasets import check_dataset, damaged_ids
from mmpose_lite.training.data_guard.finite_steps import FiniteSteps
from mmpose_lite.training.data_guard.pipeline import (
    Failures,
    GuardedPipeline,
    datasets_of,
)

COCO = dict(from_file='configs/_base_/datasets/coco.py')


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    out = tmp_path_factory.mktemp('toy')
    return generate_toy_coco(out, num_train=4, num_val=1, image_size=(160, 120))


@pytest.fixture(autouse=True)
def _log():
    if not MMLogger.check_instance_created('data_guard'):
        MMLogger.get_instance('data_guard', log_level='ERROR')
    else:
        MMLogger.get_instance('data_guard')


def coco(toy, steps=('LoadImage',), **options):
    init_default_scope('mmpose')
    return DATASETS.build(
        dict(
            type='CocoDataset',
            data_root=f'{toy.root}/',
            ann_file='annotations/person_keypoints_train.json',
            data_prefix=dict(img='train/'),
            pipeline=[dict(type=step) for step in steps],
            **options,
        )
    )


# --- Pipelines ----------------------------------------------------------------------


def sample(path='a.jpg', **values):
    return dict(img_path=str(path), img_id=1, id=2, **values)


def guarded(pipeline=lambda data: data, limit=3, **options):
    return GuardedPipeline(pipeline, Failures(limit), **options)


def test_sound_samples_pass():
    data = sample(inputs=torch.zeros(3))
    assert guarded()(data) is data


@pytest.mark.parametrize('refused', [dict(images=[1]), dict(persons=[2])])
def test_known_damage_is_refused_without_a_look(refused):
    def pipeline(data):
        raise AssertionError('must not be called')

    assert guarded(pipeline, **refused)(sample()) is None


def test_image_with_a_refused_person_is_refused_bottom_up():
    pipeline = guarded(persons=[2])
    assert pipeline(dict(img_path='a', img_id=1, id=[1, 2])) is None
    assert pipeline(dict(img_path='a', img_id=1, id=[1, 3])) is not None


def fails(data):
    raise OSError('gone')


def test_failure_that_no_image_is_to_blame_for_ends_the_run(tmp_path):
    """A mistake in a transform is not passed over."""
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(RuntimeError, match=r'a\.png \(annotation 2\).*gone'):
        guarded(fails)(sample(path))


def test_too_many_failures_end_the_run(tmp_path):
    pipeline = guarded(fails, limit=2)
    for name in 'ab':
        assert pipeline(sample(tmp_path / name)) is None
    with pytest.raises(RuntimeError, match='more than 2 samples failed'):
        pipeline(sample(tmp_path / 'c'))


@pytest.mark.parametrize('limit', [0, 1])
def test_validation_ends_with_a_name(tmp_path, limit):
    pipeline = guarded(fails, limit, test_mode=True)
    with pytest.raises(RuntimeError, match=r'a\.jpg'):
        pipeline(sample(tmp_path / 'a.jpg'))


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_infinite_samples_are_refused(value):
    pipeline = guarded()
    bad = torch.tensor([0.0, value])
    assert pipeline(sample(inputs=bad)) is None
    assert pipeline(sample(inputs=torch.zeros(2))) is None  # the same one
    other = dict(img_path='a.jpg', img_id=1, id=3, inputs=torch.zeros(2))
    assert pipeline(other) is other
    assert pipeline(dict(other, id=4, data_samples=[dict(heatmaps=bad)])) is None


def note(failures):
    failures.add('seen elsewhere')


def test_processes_share_what_failed():
    failures = Failures(3)
    process = multiprocessing.get_context('fork').Process(target=note, args=[failures])
    process.start()
    process.join()
    assert 'seen elsewhere' in failures
    assert 'not seen' not in failures


class Failing(Dataset):
    """Notes a failure of every sample."""

    def __init__(self, failures):
        self.failures = failures

    def __len__(self):
        return 800

    def __getitem__(self, index):
        return int(self.failures.add(f'sample {index}'))


def test_workers_never_claim_one_place():
    failures = Failures(1000)
    loader = DataLoader(Failing(failures), batch_size=8, num_workers=2)
    assert sum(int(batch.sum()) for batch in loader) == len(failures) == 800
    assert all(f'sample {index}' in failures for index in range(800))


def test_each_worker_writes_to_a_row_of_its_own(monkeypatch):
    """Without luck: two that look for a place at the same time."""
    failures = Failures(2)
    for number in (0, 1):
        worker = SimpleNamespace(id=number)
        monkeypatch.setattr(pipeline, 'get_worker_info', lambda worker=worker: worker)
        assert failures.add(f'sample {number}')
    assert (failures._hashes != 0).any(1).sum() == len(failures) == 2


def test_failures_are_counted_once_and_to_the_limit():
    failures = Failures(2)
    assert all(map(failures.add, ('a', 'b')))
    assert len(failures) == 2
    assert not failures.add('c')


def test_guard_shows_the_transforms_and_can_be_copied(toy):
    data = coco(toy)
    pipeline = guarded(data.pipeline)
    assert pipeline.transforms is data.pipeline.transforms
    again = pickle.loads(pickle.dumps(GuardedPipeline(sorted, [], [1])))
    assert again.images == {1}


def test_datasets_are_found_within_others(toy):
    one, other = coco(toy), coco(toy)
    assert list(datasets_of(ConcatDataset([one, other]))) == [one, other]
    assert list(datasets_of(RepeatDataset(one, 2))) == [one]
    combined = CombinedDataset(COCO, [one_config(toy)] * 2, [dict(type='LoadImage')])
    found = list(datasets_of(combined))
    assert found[0] is combined
    assert found[1:] == combined.datasets
    assert list(datasets_of([1, 2])) == []


def one_config(toy):
    return dict(
        type='CocoDataset',
        data_root=f'{toy.root}/',
        ann_file='annotations/person_keypoints_train.json',
        data_prefix=dict(img='train/'),
        pipeline=[],
    )


# --- Data sets ----------------------------------------------------------------------


class Silent:
    """A logger."""

    def info(self, text):
        self.text = text


@pytest.mark.parametrize('images', [False, True])
def test_sound_data_set_has_no_findings(toy, images):
    findings, about = check_dataset(coco(toy), images, Silent())
    assert findings == []
    assert '4 images' in about


def test_other_formats_have_their_samples_checked(toy, monkeypatch):
    """As MPII's: what MMPose has read is looked at, not the file."""
    monkeypatch.setattr(
        type(coco(toy)),
        '_load_annotations',
        lambda self: BaseCocoStyleDataset._load_annotations(self),
        raising=False,
    )
    data = coco(toy, serialize_data=False)
    assert check_dataset(data, False, Silent()) == ([], '')
    data.data_list[0]['bbox'][0, 2] = np.nan
    data.data_list[1]['keypoints'][0, 5] = np.nan
    findings, _ = check_dataset(data, False, Silent())
    spoilt = {data.data_list[0]['id'], data.data_list[1]['id']}
    assert damaged_ids(findings, 'person') == spoilt


def test_wrapped_data_are_checked_where_they_lie(toy):
    """A data set that only combines others has no file of its own."""
    guard = DataGuardHook()
    combined = CombinedDataset(COCO, [one_config(toy)], [dict(type='LoadImage')])
    runner = SimpleNamespace(logger=MMLogger.get_current_instance())
    for dataset in datasets_of(combined):
        guard._guard(runner, dataset)
    assert isinstance(combined.pipeline, GuardedPipeline)
    assert isinstance(combined.datasets[0].pipeline, GuardedPipeline)
    once = combined.pipeline
    guard._guard(runner, combined)
    assert combined.pipeline is once
    assert 'img' in combined[0]


def load(path, kind='mmpose_lite.CocoDataset', **options):
    init_default_scope('mmpose')
    return DATASETS.build(
        dict(type=kind, ann_file=str(path), test_mode=True, **options)
    )


def test_loading_is_explained_where_it_is_asked_for(tmp_path):
    """Neither the hook nor its import changes what MMPose's own data sets do."""
    path = tmp_path / 'cut.json'
    path.write_text('{"images": [')
    full_init = BaseCocoStyleDataset.full_init
    DataGuardHook()
    assert BaseCocoStyleDataset.full_init is full_init is BaseDataset.full_init
    with pytest.raises(json.JSONDecodeError, match='Expecting value'):
        load(path, 'CocoDataset')
    with pytest.raises(ValueError, match=r'cut\.json cannot be used .*\n- .*no json'):
        load(path)
    with pytest.raises(FileNotFoundError, match=r'none\.json: there is no such file'):
        load(tmp_path / 'none.json')
    assert load(tmp_path / 'none.json', lazy_init=True).ann_file.endswith('none.json')


def test_explained_data_sets_are_those_of_mmpose(toy):
    for name in ('CocoDataset', 'MpiiDataset', 'AicDataset', 'CrowdPoseDataset'):
        kind, ours = DATASETS.get(f'mmpose.{name}'), DATASETS.get(f'mmpose_lite.{name}')
        assert ours.METAINFO is kind.METAINFO
    path = f'{toy.root}/annotations/person_keypoints_train.json'
    assert type(load(path)) is DATASETS.get('mmpose.CocoDataset')


def mpii(tmp_path, **options):
    person = dict(
        image='1.jpg', center=[5, 5], scale=1, joints=[[1, 1]] * 16, joints_vis=[1] * 16
    )
    path = tmp_path / 'mpii.json'
    path.write_text(json.dumps([person]))
    return load(options.pop('ann_file', path), 'mmpose_lite.MpiiDataset', **options)


def test_missing_head_boxes_are_no_damaged_json(tmp_path):
    """The check of COCO files is for data sets that MMPose reads as such."""
    absent = tmp_path / 'absent.mat'
    with pytest.raises(FileNotFoundError, match=r'absent\.mat. does not exist') as info:
        mpii(tmp_path, headbox_file=str(absent))
    assert 'cannot be used' not in str(info.value)
    assert len(mpii(tmp_path)) == 1


def test_other_failures_of_other_formats_keep_their_reason(tmp_path):
    path = tmp_path / 'damaged.json'
    path.write_text('{')
    with pytest.raises(ValueError, match=r'damaged\.json cannot be loaded: JSONDecode'):
        mpii(tmp_path, ann_file=str(path))


# --- Steps --------------------------------------------------------------------------


def step_of(wrapper, parameter, loss):
    watch = FiniteSteps(wrapper, nn.ParameterDict(dict(it=parameter)), lambda: 5)
    watch.batch = dict(data_samples=[SimpleNamespace(img_path='a.jpg', id=3)])
    try:
        wrapper.update_params(loss(parameter))
    finally:
        watch.close()
        assert 'update_params' not in vars(wrapper)


def make():
    parameter = nn.Parameter(torch.ones(3))
    return OptimWrapper(torch.optim.SGD([parameter], lr=0.1)), parameter


def test_spoilt_step_is_not_made():
    """Nor is one after it kept from being made."""
    wrapper, parameter = make()
    message = r'the loss is nan in step 5\..*a\.jpg \(annotation 3\)'
    with pytest.raises(FloatingPointError, match=message):
        step_of(wrapper, parameter, lambda p: p.sum() * float('nan'))
    assert torch.equal(parameter.detach(), torch.ones(3))
    wrapper.zero_grad()
    step_of(wrapper, parameter, torch.sum)
    assert parameter.detach().tolist() == pytest.approx([0.9] * 3)


def test_clipping_does_not_hide_it():
    parameter = nn.Parameter(torch.ones(3))
    wrapper = OptimWrapper(
        torch.optim.SGD([parameter], lr=0.1), clip_grad=dict(max_norm=1)
    )
    with pytest.raises(FloatingPointError, match='gradients'):
        step_of(wrapper, parameter, lambda p: (p * 0).sqrt().sum())
    assert torch.equal(parameter.detach(), torch.ones(3))


def test_every_optimizer_is_watched():
    (one, parameter), (other, _) = make(), make()
    both = OptimWrapperDict(one=one, other=other)
    watch = FiniteSteps(both, nn.Module(), lambda: 1)
    for wrapper in (one, other):
        with pytest.raises(FloatingPointError):
            wrapper.update_params(parameter.sum() * float('nan'))
    watch.close()


@pytest.mark.parametrize('fused', [False, True])
def test_overflow_under_mixed_precision_is_no_error(fused):
    """The gradient scaler leaves the step out, or lets a fused optimizer do so."""
    parameter = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter], lr=0.1, fused=fused)
    watch = FiniteSteps(OptimWrapper(optimizer), nn.Module(), lambda: 1)
    scaler = torch.amp.GradScaler('cpu', init_scale=1e38, backoff_factor=1e-30)
    for expected in (1.0, 0.9):  # the first scale is too large, the second fits
        optimizer.zero_grad()
        scaler.scale(1e3 * parameter.sum()).backward()
        assert parameter.grad.isfinite().all() == (expected < 1)
        scaler.step(optimizer)
        scaler.update()
        assert parameter.detach().tolist() == pytest.approx([expected] * 3)
    optimizer.zero_grad()
    (parameter.sum() * 0).sqrt().backward()
    with pytest.raises(FloatingPointError, match='gradients'):  # without a scaler
        optimizer.step()
    watch.close()


def test_without_the_watch_the_weights_are_lost():
    """The comparison can fail."""
    wrapper, parameter = make()
    wrapper.update_params(parameter.sum() * float('nan'))
    assert parameter.isnan().all()
