"""What the rewriting shall reach, compared with what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mmpose_lite.analysis import Spread

from .contestants import AS_IS, OPTIMIZED, STRAIGHTFORWARD
from .pose_costs import Costs
from .pose_engines import FOLDED
from .pose_results import Results, Row, fastest

THEIRS, OURS, RTMPOSE = 'mmpose-litehrnet-18', 'litehrnet-18', 'rtmpose-t'


@dataclass(frozen=True)
class Target:
    """A demand on how many times as fast one row is as another, at batch 1.

    Attributes:
        slow: A contestant.
        fast: The one that shall be faster.
        factor: How many times at least.
        engine: On which both run; empty for the best engine of each.
        precision: What engines compute in.
        forms: Of the two; empty for the faster one.
    """

    slow: str
    fast: str
    factor: float
    engine: str = ''
    precision: str = 'f32'
    forms: tuple[str, str] = ('', '')

    @property
    def text(self) -> str:
        """The demand in words."""
        names = [
            f'{name}, {form}' if form else name
            for name, form in zip((self.slow, self.fast), self.forms, strict=True)
        ]
        where = f'{self.engine} {self.precision}'
        if not self.engine:
            where = f'each on its best engine, {self.precision}'
        return f'{names[0]} / {names[1]}: {where}'


EXPORTED = (STRAIGHTFORWARD, OPTIMIZED)
TARGETS = (
    Target(THEIRS, OURS, 2.0),
    Target(THEIRS, OURS, 2.0, 'openvino', 'f32', EXPORTED),
    Target(THEIRS, OURS, 2.0, 'openvino', 'bf16', EXPORTED),
    Target(THEIRS, OURS, 1.5, 'onnxruntime', 'f32', EXPORTED),
    Target(THEIRS, OURS, 2.0, 'eager', 'f32', (AS_IS, OPTIMIZED)),
    Target('xhrnet-s18', 'xhrnet-s18', 1.7, 'openvino', 'f32', (AS_IS, OPTIMIZED)),
    Target(RTMPOSE, OURS, 1.3),
    Target(RTMPOSE, OURS, 1.0, 'eager'),
    Target(RTMPOSE, OURS, 1.0, 'onnxruntime'),
    Target(RTMPOSE, OURS, 1.0, 'openvino'),
    Target(RTMPOSE, OURS, 1.0, 'openvino', 'bf16'),
)
TRAFFIC = {'operators': 1.5, 'megabytes': 1.6}
"""Cost to how many times as high it shall be of MMPose's network."""
TRAINING = {'seconds': 1.3, 'memory': 1.0}


@dataclass(frozen=True)
class Verdict:
    """A demand and what was measured.

    Attributes:
        text: The demand.
        factor: At least.
        measured: Median and quartiles; three times the same for what is counted.
    """

    text: str
    factor: float
    measured: Spread

    @property
    def met(self) -> bool:
        """Whether the median reaches it."""
        return self.measured.median >= self.factor


def _rows(results: Results, target: Target, name: str, form: str) -> Iterator[Row]:
    """Rows at batch 1 that may stand for one side of a target."""
    for row in results.rows:
        entry = row.entry
        if (
            row.seconds
            and (entry.contestant, entry.precision) == (name, target.precision)
            and entry.batch == 1
            and target.engine in ('', entry.engine)
            and form in ('', entry.form)
        ):
            yield row


def ratio(results: Results, target: Target) -> Spread | None:
    """What was measured, in the first group that has both sides; None if none has."""
    sides = [
        list(_rows(results, target, name, form))
        for name, form in zip((target.slow, target.fast), target.forms, strict=True)
    ]
    shared = {row.group for row in sides[0]} & {row.group for row in sides[1]}
    if not shared:
        return None
    slow, fast = (fastest(r for r in side if r.group == min(shared)) for side in sides)
    assert slow is not None
    assert fast is not None
    return slow.timing.over(fast.timing)


def _counted(results: Results) -> Iterator[Verdict]:
    """Targets on what is counted."""
    costs = results.costs
    theirs: Costs | None = costs.get(THEIRS, {}).get(FOLDED)
    ours: Costs | None = costs.get(OURS, {}).get(OPTIMIZED)
    if theirs is None or ours is None:
        return
    for name, factor in TRAFFIC.items():
        measured = getattr(theirs, name) / getattr(ours, name)
        text = f'{THEIRS}, {FOLDED} / {OURS}, {OPTIMIZED}: {name}'
        yield Verdict(text, factor, Spread(*[measured] * 3))


def _training(results: Results) -> Iterator[Verdict]:
    """Targets on a training step."""
    found = results.extras.get('training')
    if found is None:
        return
    spread = Spread(**found['ratio'])
    text = f'{found["slow"]} / {found["fast"]}: training step'
    yield Verdict(f'{text}, time', TRAINING['seconds'], spread)
    if found['memory_ratio'] is not None:
        memory = Spread(*[found['memory_ratio']] * 3)
        yield Verdict(f'{text}, peak memory', TRAINING['memory'], memory)


def verdicts(results: Results) -> list[Verdict]:
    """All targets that something was measured for."""
    found = []
    for target in TARGETS:
        measured = ratio(results, target)
        if measured is not None:
            found.append(Verdict(target.text, target.factor, measured))
    return [*found, *_counted(results), *_training(results)]
