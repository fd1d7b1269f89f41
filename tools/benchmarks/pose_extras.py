"""Tables of what the benchmark measures beside latencies."""

from __future__ import annotations

from mmpose_lite.analysis import Spread

from .contestants import AS_IS
from .pose_cells import NONE, middle_half
from .pose_plan import target_of
from .pose_results import Results, Row, fastest
from .tables import markdown_table


def gain_table(results: Results) -> str:
    """Operators, bytes and, where they were timed, milliseconds after each rewrite."""
    gains = results.extras.get('gains')
    if not gains:
        return ''
    parts = []
    for name, by_target in gains['counts'].items():
        title = gains['titles'][name]
        for target, steps in by_target.items():
            table = _gains_of(name, target, steps, results.gain_rows)
            parts.append(f'### Gain per rewrite: {title}, for {target}\n\n{table}')
    return '\n\n'.join(parts)


def _gains_of(name: str, target: str, steps: list[dict], timed: list[Row]) -> str:
    """Table of one network for one target."""
    rows: dict[tuple[str, str], dict[str, Row]] = {}
    for row in timed:
        entry = row.entry
        if (
            row.seconds
            and entry.contestant == name
            and target_of(entry.engine) == target
        ):
            rows.setdefault((entry.engine, entry.precision), {})[entry.form] = row
    header = (
        'rewrite', 'operators', 'MB moved', 'difference f64', 'difference f32',
        *(f'{" ".join(column)}, ms' for column in rows),
        *(f'{" ".join(column)}, times as fast' for column in rows),
    )  # fmt: skip
    lines = []
    for step in steps:
        form = AS_IS if step['name'] == 'as trained' else step['name']
        times, ratios = [], []
        for by_form in rows.values():
            row, first = by_form.get(form), by_form.get(AS_IS)
            times.append(NONE if row is None else middle_half(row.milliseconds))
            comparable = row is not None and first is not None
            if comparable and row.group == first.group:
                ratios.append(middle_half(first.timing.over(row.timing), 2))
            else:
                ratios.append(NONE)
        lines.append(
            (
                step['name'],
                str(step['operators']),
                f'{step["megabytes"]:.0f}',
                f'{step["difference"]:.1g}',
                f'{step["difference_f32"]:.1g}',
                *times,
                *ratios,
            )
        )
    return markdown_table(header, lines)


def training_table(results: Results) -> str:
    """A training step of MMPose's network and of ours."""
    found = results.extras.get('training')
    if not found:
        return ''
    rows = [
        (
            name,
            middle_half(Spread(**one['seconds']), 2),
            NONE if one['megabytes'] is None else f'{one["megabytes"]:.0f}',
        )
        for name, one in found['networks'].items()
    ]
    table = markdown_table(('network', 's a step', 'peak memory, MB'), rows)
    return (
        f'### Training step\n\n{table}\n\nForward, backward and Adam, batch '
        f'{found["batch"]}, {found["rounds"]} rounds. {found["slow"]} takes '
        f'{middle_half(Spread(**found["ratio"]), 2)} times as long as {found["fast"]}.'
    )


def bound_table(results: Results) -> str:
    """What plain loops take for the same arithmetic."""
    found = results.extras.get('bound')
    if not found:
        return ''
    rows = [
        (
            part,
            str(one['count']),
            f'{one["gflops"]:.3f}',
            middle_half(Spread(**one['ms']), 2),
        )
        for part, one in found['parts'].items()
    ]
    table = markdown_table(('loops', 'number', 'GFLOP', 'ms'), rows)
    best = fastest(
        row
        for row in results.good(1)
        if (row.entry.contestant, row.entry.precision) == (found['contestant'], 'f32')
    )
    far = ''
    if best is not None:
        times = best.milliseconds.median / found['parts']['all']['ms']['median']
        far = (
            f' The best f32 row of this network ({best.entry.engine}, '
            f'{best.entry.form}) takes {times:.1f} times as long as all of it.'
        )
    rates = ', '.join(f'{name} {value:.1f}' for name, value in found['rates'].items())
    return (
        f'### The bound: {found["contestant"]}\n\n{table}\n\nEvery convolution once, '
        'and every gate and sum as one pass, channels last, one thread '
        f'(`{found["flags"]}`). The machine: {rates}.{far}'
    )
