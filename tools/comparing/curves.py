"""How trainings went: read from MMEngine's logs, drawn side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from figures.canvas import BLUE, DPI, GREEN, GREY, INK, ORANGE, ROSE, SKY, png
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

COLOURS = (BLUE, SKY, GREEN, ORANGE, '#8a5a00', ROSE, '#5b3f8c', GREY)
STYLES = ('-', '--', ':')


@dataclass
class Curve:
    """What one training logged.

    Attributes:
        losses: Number of steps to the mean loss of the steps since the last entry.
        seconds: The same to seconds a step, loading of data included.
        metrics: Name to epoch to value, from the validations.
    """

    losses: dict[int, float] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    metrics: dict[str, dict[int, float]] = field(default_factory=dict)

    @property
    def step_seconds(self) -> float | None:
        """Median seconds a step, so that a pause does not count; None without any."""
        return median(self.seconds.values()) if self.seconds else None


def read_curve(work_dir: Path) -> Curve:
    """Read every log below the work dir of a training.

    A run that was killed is followed by one that does some of its steps again; what the
    later one logged counts.
    """
    curve = Curve()
    # Runs live in folders named by their time, so names sort as time does.
    for log in sorted(work_dir.glob('[0-9]*/vis_data/scalars.json')):
        for line in log.read_text().splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue  # a run that was killed while it wrote
            if 'loss' in record:
                curve.losses[record['step']] = record['loss']
                curve.seconds[record['step']] = record['time']
                continue
            for name, value in record.items():
                if name not in ('step', 'time', 'data_time'):
                    curve.metrics.setdefault(name, {})[record['step']] = value
    return curve


@dataclass(frozen=True)
class Line:
    """A network in the picture.

    Attributes:
        title: Its name.
        curves: One for each seed.
        steps: Steps of an epoch.
        weight: What its config multiplies its loss with.
    """

    title: str
    curves: Sequence[Curve]
    steps: float
    weight: float = 1.0


def draw_curves(lines: Sequence[Line], metric: str, heading: str) -> bytes:
    """Metric and loss against steps, every network in its colour, as a PNG.

    Args:
        lines: The networks.
        metric: Which metric of the validations.
        heading: What they share.
    """
    figure = Figure((9.5, 4.6), dpi=DPI, layout='constrained')
    left, right = figure.subplots(1, 2)
    for number, line in enumerate(lines):
        style = dict(
            color=COLOURS[number % len(COLOURS)],
            linestyle=STYLES[number // len(COLOURS) % len(STYLES)],
            linewidth=1.5,
        )
        for seed, curve in enumerate(line.curves):
            label = None if seed else line.title
            found = curve.metrics.get(metric, {})
            steps = [epoch * line.steps for epoch in found]
            left.plot(steps, [*found.values()], 'o', ms=3.5, label=label, **style)
            losses = [loss / line.weight for loss in curve.losses.values()]
            right.plot([*curve.losses], losses, **style)
    left.set_ylabel(f'{metric} of the held-out images', size=8, color=INK)
    right.set_ylabel('training loss, without its weight (log scale)', size=8, color=INK)
    right.set_yscale('log')
    for ticks in (right.yaxis.set_major_formatter, right.yaxis.set_minor_formatter):
        ticks(FuncFormatter(lambda loss, _: f'{loss:g}'))
    for axis in (left, right):
        axis.set_xlabel('training steps', size=8, color=INK)
        axis.set_xlim(left=0)
        axis.tick_params(which='both', labelsize=7.5, colors=GREY)
        axis.grid(color='#e3e6ea', lw=0.7)
        axis.set_axisbelow(True)
        axis.spines[['top', 'right']].set_visible(False)
    left.set_ylim(bottom=0)
    figure.suptitle(heading, size=9, x=0.01, ha='left', color=INK)
    figure.legend(
        loc='outside lower center', ncols=4, fontsize=8, frameon=False, handlelength=2.5
    )
    return png(figure)


def short_names(stems: Sequence[str]) -> Mapping[str, str]:
    """Names of networks from those of configs, as short as leaves them different."""
    # The network; with what stands before it, such as the kind of head.
    for part in (slice(1, 2), slice(2)):
        short = {stem: '_'.join(stem.split('_')[part]) or stem for stem in stems}
        if len(set(short.values())) == len(stems):
            return short
    return {stem: stem for stem in stems}
