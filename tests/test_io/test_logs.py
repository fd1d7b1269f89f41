"""Scalar logs: resumed and killed runs, tests beside trainings."""

import json

import pytest

from mmpose_lite.io.logs import last_metric, read_scalars, seconds_per_step


def write(path, *records, tail=''):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(json.dumps(r) for r in records) + tail)


def test_the_newest_run_counts(tmp_path):
    for name, value in (('20260101_000000', 0.1), ('20260102_000000', 0.2)):
        write(tmp_path / name / f'{name}.json', {'coco/AP': value, 'coco/AR': 0.5})
    assert last_metric(tmp_path, 'coco/AP') == 0.2


def test_a_run_that_was_killed_is_passed_over(tmp_path):
    write(tmp_path / '20260101_000000/20260101_000000.json', {'coco/AP': 0.3})
    write(tmp_path / '20260102_000000/20260102_000000.json', tail='{"coco/A')
    assert last_metric(tmp_path, 'coco/AP') == 0.3
    with pytest.raises(ValueError, match='coco/AR'):
        last_metric(tmp_path, 'coco/AR')


def test_steps_are_averaged_over_training_only(tmp_path):
    write(
        tmp_path / '20260101_000000/vis_data/scalars.json',
        {'time': 0.4, 'loss': 1.0, 'step': 20},
        {'time': 0.2, 'loss': 0.9, 'step': 40},
        {'coco/AP': 0.5, 'time': 9.0, 'step': 1},
    )
    assert seconds_per_step(tmp_path) == pytest.approx(0.3)
    with pytest.raises(ValueError, match='training step'):
        seconds_per_step(tmp_path / 'nowhere')


def test_records_of_resumed_runs_are_in_order(tmp_path):
    first, second = {'loss': 2.0, 'step': 1}, {'loss': 1.0, 'step': 2}
    write(tmp_path / '20260102_000000/vis_data/scalars.json', second)
    write(tmp_path / '20260101_000000/vis_data/scalars.json', first, tail='\n{"lo')
    # What MMEngine writes a second time, and the runs of another work dir below.
    write(tmp_path / '20260101_000000/vis_data/20260101_000000.json', first)
    write(tmp_path / 'test/20260103_000000/20260103_000000.json', {'PCK': 0.9})
    assert read_scalars(tmp_path) == [first, second]
    assert read_scalars(tmp_path / 'test') == [{'PCK': 0.9}]
    assert read_scalars(tmp_path / 'nowhere') == []
