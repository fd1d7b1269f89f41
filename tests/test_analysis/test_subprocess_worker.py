"""An object in another process."""

import os

import pytest

from mmpose_lite.analysis import Isolated

# Each process imports torch again.
pytestmark = pytest.mark.slow


class Counter:
    def __init__(self, start):
        if start < 0:
            raise ValueError(f'start below 0: {start}')
        self.count = start

    def add(self, number):
        self.count += number
        return self.count

    def process(self):
        return os.getpid()

    def leave(self):
        os._exit(3)


def test_object_lives_elsewhere_and_keeps_its_state():
    with Isolated(Counter, 5) as one, Isolated(Counter, 0) as other:
        assert [one.ask('add', 2), one.ask('add', 3), other.ask('add', 1)] == [7, 10, 1]
        processes = {os.getpid(), one.ask('process'), other.ask('process')}
    assert len(processes) == 3


def test_forked_process_needs_no_pickle():
    with Isolated(lambda: Counter(1), method='fork') as counter:
        assert counter.ask('add', 1) == 2


def test_errors_come_back_and_the_object_goes_on():
    with Isolated(Counter, 5) as counter:
        with pytest.raises(RuntimeError, match=r'add\(\) missing 1 required'):
            counter.ask('add')
        assert counter.ask('add', 1) == 6
    with pytest.raises(RuntimeError, match='start below 0: -1'):
        Isolated(Counter, -1)


def test_death_of_the_process_is_seen():
    with (
        pytest.raises(RuntimeError, match='ended by itself, code 3'),
        Isolated(Counter, 5) as counter,
    ):
        counter.ask('leave')
