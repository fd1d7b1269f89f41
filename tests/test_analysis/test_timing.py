"""Timing with a clock that the timed calls move themselves."""

import pytest
import torch

from mmpose_lite.analysis import Spread, Timing, time_interleaved


class FakeClock:
    """Seconds that pass only when a call says so."""

    def __init__(self):
        self.now = 0.0
        self.order = []

    def __call__(self):
        return self.now

    def call(self, name, seconds):
        """A callable that takes the next of ``seconds``, or always the same."""
        steps = iter(seconds) if isinstance(seconds, list) else None

        def run():
            self.order.append(name)
            self.now += next(steps) if steps else seconds

        return run

    def calls(self, **seconds):
        return {name: self.call(name, value) for name, value in seconds.items()}


def test_rounds_rotate_and_then_turn_back():
    clock = FakeClock()
    time_interleaved(clock.calls(a=1, b=1, c=1), rounds=6, warmup=1, clock=clock)
    rounds = [''.join(clock.order[i : i + 3]) for i in range(0, 21, 3)]
    assert rounds == ['abc', 'abc', 'bca', 'cab', 'cba', 'acb', 'bac']


def test_warm_up_does_not_count():
    clock = FakeClock()
    calls = clock.calls(a=[100, 50, 1, 2, 3], b=[100, 50, 4, 4, 4])
    found = time_interleaved(calls, rounds=3, warmup=2, clock=clock)
    assert list(found) == ['a', 'b']
    assert found['a'].seconds == {0: 1, 1: 2, 2: 3}
    assert found['a'].spread == Spread(2, 1.5, 2.5)
    assert found['b'].spread == Spread(4, 4, 4)


def test_ratio_is_taken_within_rounds():
    # The machine is ten times slower in round 1; the ratio does not see it.
    slow, fast = Timing({0: 2, 1: 20, 2: 2}), Timing({0: 1, 1: 10, 2: 1})
    assert slow.over(fast) == Spread(2, 2, 2)
    assert fast.over(slow) == Spread(0.5, 0.5, 0.5)


def test_rare_calls_run_in_every_kth_round_and_compare_there():
    clock = FakeClock()
    calls = clock.calls(a=[9, 1, 2, 3, 4, 5], rare=[9, 10, 80])
    found = time_interleaved(calls, rounds=5, warmup=1, every=dict(rare=3), clock=clock)
    assert found['rare'].seconds == {0: 10, 3: 80}
    assert found['rare'].over(found['a']) == Spread(15, 12.5, 17.5)


def test_progress_is_reported_after_each_call():
    seen = []
    calls = FakeClock().calls(a=1, b=100)
    time_interleaved(
        calls, rounds=2, warmup=1, progress=lambda *step: seen.append(step)
    )
    assert [done for done, _, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert {total for _, total, _ in seen} == {6}
    assert seen[-1][2] == 0 < seen[0][2]


def test_mode_and_threads_of_calls_are_set_and_restored():
    before, seen = torch.get_num_threads(), []

    def look():
        seen.append((torch.is_inference_mode_enabled(), torch.get_num_threads()))

    time_interleaved(dict(look=look), rounds=1, warmup=1, threads=before + 1)
    assert seen == [(True, before + 1)] * 2
    assert not torch.is_inference_mode_enabled()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(calls={}), 'must be something to time'),
        (dict(every=dict(other=2)), "got \\['a'\\] and \\['other'\\]"),
        (dict(every=dict(a=0)), 'every must be at least 1, got 0'),
        (dict(rounds=0), 'rounds must be at least 1, got 0'),
        (dict(warmup=0), 'warmup must be at least 1, got 0'),
        (dict(threads=0), 'threads must be at least 1, got 0'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        time_interleaved(**{'calls': dict(a=lambda: None), **options})


def test_no_common_round():
    with pytest.raises(ValueError, match='round in common'):
        Timing({0: 1.0}).over(Timing({1: 1.0}))
