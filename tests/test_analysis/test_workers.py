"""Objects in other processes, and calls that they time in turns."""

import os

import pytest

from mmpose_lite.analysis import Isolated, workers
from mmpose_lite.analysis.workers import Bench, in_subprocess, time_benches

# Each process imports torch again.
spawned = pytest.mark.slow


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


@spawned
def test_object_lives_elsewhere_and_keeps_its_state():
    with Isolated(Counter, 5) as one, Isolated(Counter, 0) as other:
        assert [one.ask('add', 2), one.ask('add', 3), other.ask('add', 1)] == [7, 10, 1]
        processes = {os.getpid(), one.ask('process'), other.ask('process')}
    assert len(processes) == 3


def test_forked_process_needs_no_pickle():
    with Isolated(lambda: Counter(1), method='fork') as counter:
        assert counter.ask('add', 1) == 2


@spawned
def test_errors_come_back_and_the_object_goes_on():
    with Isolated(Counter, 5) as counter:
        with pytest.raises(RuntimeError, match=r'add\(\) missing 1 required'):
            counter.ask('add')
        assert counter.ask('add', 1) == 6
    with pytest.raises(RuntimeError, match='start below 0: -1'):
        Isolated(Counter, -1)


@spawned
def test_death_of_the_process_is_seen():
    with (
        pytest.raises(RuntimeError, match='ended by itself, code 3'),
        Isolated(Counter, 5) as counter,
    ):
        counter.ask('leave')


def test_function_runs_in_a_process_of_its_own():
    assert in_subprocess(lambda number: (number, os.getpid()), 3)[0] == 3
    assert in_subprocess(os.getpid) != os.getpid()
    with pytest.raises(RuntimeError, match='invalid literal'):
        in_subprocess(int, 'x')


def test_turn_is_the_median_of_calls(monkeypatch):
    def turn(last, *times):
        called = []
        bench = Bench([lambda: called.append(1)])
        bench.last, taken = last, iter(times)
        monkeypatch.setattr(workers, 'stopwatch', lambda call: next(taken))
        return bench.turn(), len(called)

    # The caches of the short one were cold.
    assert turn(0.01, 0.003, 0.001, 0.002) == ([0.002], 1)
    assert turn(0.1, 0.1, 9) == ([0.1], 0)


class Odd(Bench):
    """Ten calls, or what happens instead."""

    def __init__(self, *wrong):
        self.wrong = wrong
        if 'build' in wrong:
            raise ValueError('cannot be built')
        super().__init__([int] * 10)

    def turn(self):
        if 'turn' in self.wrong:
            os._exit(3)
        return [float(os.getpid()), 2.0] if 'slow' in self.wrong else super().turn()

    def facts(self):
        return dict(process=os.getpid())


def test_benches_are_timed_in_turns_and_failures_say_why():
    words, steps = ('', 'build', 'turn', 'slow'), []
    found = time_benches(
        [lambda word=word: Odd(word) for word in words],
        6, lambda *step: steps.append(step[:3]), 'odd',
    )  # fmt: skip
    quick, unbuilt, dead, slow = found
    assert [list(timing.seconds) for timing in quick.timings] == [[*range(6)]] * 10
    assert [list(timing.seconds) for timing in slow.timings] == [[0, 5]] * 2
    assert slow.facts['process'] == slow.timings[0].seconds[0] != os.getpid()
    assert slow.facts != quick.facts
    assert (unbuilt.error, unbuilt.timings) == ('ValueError: cannot be built', [])
    assert (dead.error, dead.timings) == ('the process ended by itself, code 3', [])
    assert steps[3] == ('odd: starting', 4, 4)
    assert steps[-1] == ('odd', 4 + 6 + 2, 4 + 6 + 2)


def test_nothing_is_left_to_time():
    (found,) = time_benches([lambda: Odd('build')], 2, lambda *_: None, 'odd')
    assert found.error
