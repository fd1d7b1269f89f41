"""Tables, plot and verdicts of the TokenPose benchmark."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter

from mmpose_lite.analysis import Spread
from mmpose_lite.io.files import write_atomically

from .tables import markdown_table
from .tokenpose import Plan, Run

COLOURS = {
    'explicit': '#8a8a8a',
    'dense': '#1f4e9c',
    'shared, keypoint': '#c46a00',
    'token': '#157a3d',
}
LABELS = {
    'explicit': 'straightforward',
    'dense': 'dense',
    'shared, keypoint': 'shared keys',
    'token': 'token drop',
}


@dataclass(frozen=True)
class Target:
    """A demand on a ratio of two times of the same run.

    Attributes:
        size: Name of the network's size.
        fast: The variant that shall be faster.
        slow: The one it is compared with.
        factor: How many times as fast it shall be at least.
    """

    size: str
    fast: str
    slow: str
    factor: float


TARGETS = (
    Target('S-v1', 'token', 'dense', 1.25),
    Target('S-v2', 'token', 'dense', 1.6),
    Target('S-v1', 'shared, keypoint', 'dense', 1.0),
    Target('S-v2', 'shared, keypoint', 'dense', 1.0),
    Target('S-v1', 'dense', 'explicit', 1.3),
    Target('S-v2', 'dense', 'explicit', 2.0),
)


def _range(spread: Spread, digits: int) -> str:
    return f'{spread.low:.{digits}f} – {spread.high:.{digits}f}'


def _milliseconds(spread: Spread) -> Spread:
    return Spread(*(1e3 * getattr(spread, k) for k in ('median', 'low', 'high')))


def run_table(run: Run) -> str:
    """Every variant of one run."""
    header = (
        'variant', 'median ms', 'middle half', 'times as fast as dense', 'middle half',
        'GMACs an image', 'of dense',
    )  # fmt: skip
    rows = []
    for name, timing in run.timings.items():
        time, faster = _milliseconds(timing.spread), run.speedup(name)
        digits = 2 if time.median < 10 else 1 if time.median < 1000 else 0
        rows.append(
            (
                name,
                f'{time.median:.{digits}f}',
                _range(time, digits),
                f'{faster.median:.2f}',
                _range(faster, 2),
                f'{run.macs[name] / 1e9:.3f}',
                f'{run.macs[name] / run.macs["dense"]:.2f}',
            )
        )
    return f'### {run.job.title}\n\n{markdown_table(header, rows)}'


def target_rows(runs: Sequence[Run]) -> list[tuple[str, float, float, bool]]:
    """Demand, factor asked for, factor measured, and whether it is met."""
    rows = []
    for target in TARGETS:
        for run in runs:
            alone = run.job.part in ('head', 'kept')
            if alone and run.job.size.name == target.size:
                got = run.speedup(target.fast, target.slow).median
                text = (
                    f'{target.fast} over {target.slow}, {target.size}, '
                    f'batch {run.job.batch}'
                    + ', freed memory kept'
                    * (run.job.part == 'kept')
                )
                rows.append((text, target.factor, got, got >= target.factor))
    sweep = [run for run in runs if run.job.part == 'sweep']
    if len(sweep) > 1:
        few, many = sweep[0], sweep[-1]
        text = (
            f'token over dense, {many.job.size.tokens} visual tokens, against '
            f'that at {few.job.size.tokens}'
        )
        first, last = (run.speedup('token').median for run in (few, many))
        rows.append((text, first, last, last > first))
    return rows


def target_table(runs: Sequence[Run]) -> str:
    """The demands with what was measured."""
    rows = [
        (text, f'{factor:.2f}', f'{got:.2f}', 'met' if met else 'not met')
        for text, factor, got, met in target_rows(runs)
    ]
    header = ('times as fast', 'at least', 'measured', '')
    return f'### Targets\n\n{markdown_table(header, rows)}'


def sweep_table(runs: Sequence[Run]) -> str:
    """Median milliseconds against token count, with what was gained over dense."""
    names = list(runs[0].timings)
    rows = []
    for run in runs:
        medians = (run.timings[n].spread.median * 1e3 for n in names)
        gains = (run.speedup(n).median for n in names if n != 'dense')
        rows.append(
            (
                str(run.job.size.tokens),
                *(f'{ms:.1f}' for ms in medians),
                *(f'{gain:.2f}' for gain in gains),
            )
        )
    header = (
        'visual tokens',
        *(f'{n}, ms' for n in names),
        *(f'{n}, times as fast as dense' for n in names if n != 'dense'),
    )
    return (
        '### Cost against token count, head alone, batch 1\n\n'
        f'{markdown_table(header, rows)}'
    )


def full_report(runs: Sequence[Run]) -> str:
    """All tables."""
    sweep = [run for run in runs if run.job.part == 'sweep']
    tables = [target_table(runs)] if target_rows(runs) else []
    tables += [sweep_table(sweep)] if sweep else []
    return '\n\n'.join([*tables, *map(run_table, runs)])


def write_report(folder: Path, runs: Sequence[Run], plan: Plan) -> None:
    """Write ``report.md``, and ``report.json`` with the seconds of every round."""
    folder.mkdir(parents=True, exist_ok=True)
    about = dict(
        torch=torch.__version__, threads=1, rounds=plan.rounds, clock=plan.clock
    )
    measured = [
        dict(
            job=asdict(run.job),
            visual_tokens=run.job.size.tokens,
            macs=run.macs,
            seconds={n: dict(t.seconds) for n, t in run.timings.items()},
            times_as_fast_as_dense={n: asdict(run.speedup(n)) for n in run.timings},
        )
        for run in runs
    ]
    keys = ('demand', 'at_least', 'measured', 'met')
    targets = [dict(zip(keys, row, strict=True)) for row in target_rows(runs)]
    data = dict(about=about, runs=measured, targets=targets)
    write_atomically(folder / 'report.json', json.dumps(data, indent=1).encode())
    line = ', '.join(f'{name}: {value}' for name, value in about.items())
    text = f'# TokenPose-S with sparsity\n\n{line}\n\n{full_report(runs)}\n'
    write_atomically(folder / 'report.md', text.encode())


def _apart(heights: dict[str, float], gap: float) -> dict[str, float]:
    """Heights moved upwards where they lie closer than ``gap``."""
    placed: dict[str, float] = {}
    floor = -math.inf
    for name in sorted(heights, key=heights.__getitem__):
        placed[name] = floor = max(heights[name], floor + gap)
    return placed


def plot_sweep(runs: Sequence[Run]) -> bytes:
    """Time, and time relative to dense, against token count, as a PNG."""
    figure = Figure(figsize=(10, 4.4), dpi=120, layout='constrained')
    left, right = figure.subplots(1, 2, gridspec_kw=dict(wspace=0.08))
    counts = [run.job.size.tokens for run in runs]
    absolute, relative = {}, {}
    for name, colour in COLOURS.items():
        style = dict(color=colour, marker='o', markersize=4, linewidth=2)
        medians = [r.timings[name].spread.median * 1e3 for r in runs]
        left.plot(counts, medians, **style)
        absolute[name] = math.log(medians[-1])
        if name == 'explicit':
            continue  # several times as high: the others would lie on the ground
        ratios = [r.timings[name].over(r.timings['dense']) for r in runs]
        right.plot(counts, [s.median for s in ratios], **style)
        right.fill_between(
            counts, [s.low for s in ratios], [s.high for s in ratios],
            color=colour, alpha=0.18, linewidth=0,
        )  # fmt: skip
        relative[name] = ratios[-1].median
    left.set(yscale='log', ylabel='ms per image (log scale)')
    left.yaxis.set_major_formatter(FormatStrFormatter('%g'))
    left.yaxis.minorticks_off()
    right.set(ylim=(0, None), ylabel='time relative to dense')
    span = math.log(left.get_ylim()[1] / left.get_ylim()[0])
    apart = _apart(absolute, span / 18)
    _label(left, counts, {name: math.exp(end) for name, end in apart.items()})
    _label(right, counts, _apart(relative, right.get_ylim()[1] / 18))
    left.set_title('Time of the head, batch 1, one thread', loc='left', fontsize=11)
    right.set_title(
        'Relative to dense; shaded: middle half of the rounds', loc='left', fontsize=11
    )
    figure.suptitle(
        'What pruning costs and saves in TokenPose-S (12 layers, keep ratio 0.6)',
        fontsize=12, fontweight='bold', x=0.01, ha='left',
    )  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()


def _label(axes: Axes, counts: list[int], heights: dict[str, float]) -> None:
    """Names at the ends of the lines, and what both panels share."""
    for name, height in heights.items():
        axes.annotate(
            LABELS[name], (counts[-1], height), xytext=(8, 0), va='center',
            textcoords='offset points', color=COLOURS[name], fontsize=10,
            annotation_clip=False,
        )  # fmt: skip
    axes.set(xscale='log', xlabel='visual tokens (log scale)')
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.xaxis.minorticks_off()
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)
