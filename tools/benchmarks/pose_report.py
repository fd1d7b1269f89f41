"""Tables of the benchmark: Markdown for people, CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path

from mmpose_lite.analysis import Spread
from mmpose_lite.files import write_atomically

from .contestants import AS_IS, OPTIMIZED, STRAIGHTFORWARD
from .pose_costs import EXECUTED, ONCE
from .pose_engines import FOLDED, GRAPH, Entry
from .pose_results import Results, Row, fastest
from .pose_targets import verdicts
from .tables import markdown_table

BEGIN, END = '<!-- benchmark:begin -->', '<!-- benchmark:end -->'
NONE = '–'


def _digits(value: float) -> int:
    return 2 if value < 10 else 1 if value < 1000 else 0


def _range(spread: Spread, digits: int | None = None) -> str:
    """Median, and the middle half in brackets."""
    digits = _digits(spread.median) if digits is None else digits
    middle, low, high = (
        f'{value:.{digits}f}' for value in (spread.median, spread.low, spread.high)
    )
    return f'{middle} ({low}–{high})'


def header_text(results: Results) -> str:
    """Machine, versions and how it was measured."""
    about = results.header
    versions = ', '.join(f'{name} {v}' for name, v in about['versions'].items())
    threads, (height, width) = about['threads'], about['image_size']
    busy = '' if about['clock'] == 'perf_counter' else (
        ' Processor time, not time on the clock: the machine was busy.'
    )  # fmt: skip
    return (
        f'{about["date"][:10]}, {about["cpu"]} ({about["cores"]} cores), '
        f'{about["device"]}, {threads} thread{"s" * (threads > 1)}, '
        f'{height}x{width} (H x W). {versions}.\n\n'
        'Timed is the network on a normalised image, backbone and head; weights are '
        'random. Every row runs in a process of its own, all of a group interleaved '
        f'round by round; {about["rounds"]} rounds after {about["warmup"]} that do not '
        'count (of the slowest rows every fifth). Figures are medians, the middle half '
        f'of the rounds in brackets; ratios are taken within rounds.{busy}'
    )


def contestants_table(results: Results) -> str:
    """What needs no clock."""
    header = (
        'network', 'by', 'published AP', 'params, M', 'MACs executed, M',
        'MACs counted once, M', 'operators', 'MB moved', 'operators, optimized',
        'MB moved, optimized',
    )  # fmt: skip
    rows = []
    for name, about in results.contestants.items():
        if name not in results.costs:
            continue
        costs = results.costs[name]
        plain, folded, fast = costs[AS_IS], costs[FOLDED], costs.get(OPTIMIZED)
        rows.append(
            (
                about['title'],
                'ours' if about['ours'] else 'MMPose',
                NONE if about['ap'] is None else f'{about["ap"]:.1f}',
                f'{plain.params / 1e6:.3f}',
                f'{plain.macs / 1e6:.1f}',
                f'{plain.macs_once / 1e6:.1f}',
                str(folded.operators),
                f'{folded.megabytes:.0f}',
                NONE if fast is None else str(fast.operators),
                NONE if fast is None else f'{fast.megabytes:.0f}',
            )
        )
    return (
        f'### Networks\n\n{markdown_table(header, rows)}\n\n'
        f'*MACs executed*: {EXECUTED}. *MACs counted once*: {ONCE}. *Operators* are '
        'those of PyTorch in eager mode without views, for one image, batch norms '
        'folded; *MB moved* is what they read and write. *Optimized* is '
        "`deploy.optimize(target='eager')`."
    )


def columns(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Engines and precisions that rows have, in order."""
    return list(dict.fromkeys((r.entry.engine, r.entry.precision) for r in rows))


def _by_network(results: Results, batch: int) -> dict[tuple[str, str], list[Row]]:
    """Contestant and form to rows, those without times included."""
    found: dict[tuple[str, str], dict[Entry, Row]] = {}
    for row in results.rows:
        entry = row.entry
        if entry.batch == batch:
            kept = found.setdefault((entry.contestant, entry.form), {})
            if entry not in kept or not kept[entry].seconds:
                kept[entry] = row
    order = list(results.contestants)
    return {
        key: list(rows.values())
        for key, rows in sorted(found.items(), key=lambda i: order.index(i[0][0]))
    }


def _table(results: Results, batch: int, cell) -> str:
    """A table with a line per contestant and form, a column per engine."""
    networks = _by_network(results, batch)
    wide = columns(row for rows in networks.values() for row in rows)
    lines = []
    for (name, form), rows in networks.items():
        cells = []
        for column in wide:
            row = next(
                (r for r in rows if (r.entry.engine, r.entry.precision) == column), None
            )
            if row is None:
                cells.append(NONE)
            else:
                cells.append(cell(row) if row.seconds else 'failed')
        lines.append((f'{results.contestants[name]["title"]}, {form}', *cells))
    return markdown_table(('network', *(' '.join(c) for c in wide)), lines)


def latency_table(results: Results, batch: int) -> str:
    """Milliseconds of every row."""
    table = _table(results, batch, lambda row: _range(row.milliseconds))
    return f'### Latency, ms, batch {batch}\n\n{table}'


def ratio_table(results: Results, batch: int) -> str:
    """How many times as fast every row is as the baseline."""

    def cell(row: Row) -> str:
        rival = results.rival(row)
        if rival is None:
            return NONE
        return _range(rival.timing.over(row.timing), 2)

    title = results.contestants[results.baseline]['title']
    forms = {row.entry.form for row in results.good(batch)}
    what = f', exported {STRAIGHTFORWARD}ly,' if STRAIGHTFORWARD in forms else ''
    return (
        f'### Times as fast as {title}{what} on the same engine, batch {batch}\n\n'
        f'{_table(results, batch, cell)}'
    )


def best_table(results: Results, batch: int) -> str:
    """Every contestant on the engine and in the form that suit it best."""
    header = ('network', 'form', 'engine', 'ms', 'times as fast as the baseline')
    lines = []
    for name, about in results.contestants.items():
        rows = [
            row
            for row in results.good(batch)
            if (row.entry.contestant, row.entry.precision) == (name, 'f32')
        ]
        best = fastest(rows)
        if best is None:
            continue
        rival = fastest(
            row
            for row in results.in_group(best.group, batch)
            if (row.entry.contestant, row.entry.precision) == (results.baseline, 'f32')
        )
        ratio = NONE if rival is None else _range(rival.timing.over(best.timing), 2)
        ms = _range(best.milliseconds)
        lines.append((about['title'], best.entry.form, best.entry.engine, ms, ratio))
    title = results.contestants[results.baseline]['title']
    return (
        f'### Each on its best engine, f32, batch {batch}\n\n'
        f'{markdown_table(header, lines)}\n\nThe baseline is {title}.'
    )


def memory_table(results: Results, batch: int) -> str:
    """Peak memory of every row."""

    def cell(row: Row) -> str:
        return NONE if row.megabytes is None else f'{row.megabytes:.0f}'

    return (
        f'### Peak memory, MB, batch {batch}\n\n{_table(results, batch, cell)}\n\n'
        'Above that of a process with PyTorch loaded: engine, network, activations.'
    )


def target_table(results: Results) -> str:
    """The targets with what was measured."""
    header = ('times as fast, or as much', 'at least', 'measured', '')
    rows = [
        (
            verdict.text,
            f'{verdict.factor:.1f}',
            _range(verdict.measured, 2),
            'met' if verdict.met else 'not met',
        )
        for verdict in verdicts(results)
    ]
    return f'### Targets, batch 1\n\n{markdown_table(header, rows)}' if rows else ''


def difference_text(results: Results) -> str:
    """How much outputs differ from PyTorch's, per engine and precision."""
    largest: dict[tuple[str, str], tuple[float, str]] = {}
    for row in results.good():
        if row.difference is not None:
            key = (row.entry.engine, row.entry.precision)
            found = (row.difference, row.entry.contestant)
            largest[key] = max(largest.get(key, found), found)
    if not largest:
        return ''
    parts = [
        f'{" ".join(key)} {value:.1g} ({name})'
        for key, (value, name) in largest.items()
    ]
    return (
        'Largest difference of an output from that of PyTorch as is, over the largest '
        f'output: {", ".join(parts)}.'
    )


def failure_table(results: Results) -> str:
    """What has no figures, and why."""
    rows = [(name, NONE, NONE, why) for name, why in results.errors.items()]
    for row in results.rows:
        if row.error is not None:
            entry = row.entry
            where = f'{entry.engine} {entry.precision}, batch {entry.batch}'
            rows.append((entry.contestant, entry.form, where, row.error))
    if not rows:
        return ''
    safe = [tuple(cell.replace('|', '\\|') for cell in row) for row in rows]
    table = markdown_table(('network', 'form', 'engine', 'why'), safe)
    return f'### Failed\n\n{table}'


def gain_table(results: Results) -> str:
    """Operators, bytes and times after each rewrite."""
    gains = results.extras.get('gains')
    if not gains:
        return ''
    timed = columns(results.good(1)) if results.rows else []
    first = {
        column: next(
            row
            for row in results.good(1)
            if (row.entry.engine, row.entry.precision) == column
        )
        for column in timed
    }
    parts = []
    for name, by_target in gains.items():
        for target, steps in by_target.items():
            used = [c for c in timed if (c[0] == 'eager') == (target == 'eager')]
            rows = [_gain_row(results, name, step, used, first) for step in steps]
            header = (
                'rewrite', 'operators', 'MB moved', 'difference f64', 'difference f32',
                *(f'{" ".join(c)}, ms' for c in used),
                *(f'{" ".join(c)}, times as fast' for c in used),
            )  # fmt: skip
            title = results.contestants[name]['title']
            table = markdown_table(header, rows)
            parts.append(f'### Gain per rewrite: {title}, for {target}\n\n{table}')
    return '\n\n'.join(parts)


def _gain_row(
    results: Results,
    name: str,
    step: dict,
    used: list[tuple[str, str]],
    first: dict[tuple[str, str], Row],
) -> tuple[str, ...]:
    form = AS_IS if step['name'] == 'as trained' else step['name']
    times, ratios = [], []
    for column in used:
        row = next(
            (
                row
                for row in results.good(1)
                if (row.entry.contestant, row.entry.form) == (name, form)
                and (row.entry.engine, row.entry.precision) == column
            ),
            None,
        )
        times.append(NONE if row is None else _range(row.milliseconds))
        if row is None or row.group != first[column].group:
            ratios.append(NONE)
        else:
            ratios.append(_range(first[column].timing.over(row.timing), 2))
    return (
        step['name'],
        str(step['operators']),
        f'{step["megabytes"]:.0f}',
        f'{step["difference"]:.1g}',
        f'{step["difference_f32"]:.1g}',
        *times,
        *ratios,
    )


def training_table(results: Results) -> str:
    """A training step of MMPose's network and of ours."""
    found = results.extras.get('training')
    if not found:
        return ''
    rows = [
        (
            name,
            _range(Spread(**one['seconds']), 2),
            NONE if one['megabytes'] is None else f'{one["megabytes"]:.0f}',
        )
        for name, one in found['networks'].items()
    ]
    table = markdown_table(('network', 's a step', 'peak memory, MB'), rows)
    return (
        f'### Training step\n\n{table}\n\nForward, backward and Adam, batch '
        f'{found["batch"]}, {found["rounds"]} rounds. {found["slow"]} takes '
        f'{_range(Spread(**found["ratio"]), 2)} times as long as {found["fast"]}.'
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
            _range(Spread(**one['ms']), 2),
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


def full_report(results: Results) -> str:
    """All tables."""
    gains = gain_table(results)
    parts = [header_text(results)]
    if not gains:
        parts += [target_table(results), contestants_table(results)]
        for batch in dict.fromkeys(row.entry.batch for row in results.good()):
            parts += [
                best_table(results, batch),
                latency_table(results, batch),
                ratio_table(results, batch),
                memory_table(results, batch),
            ]
    parts += [
        gains,
        training_table(results),
        bound_table(results),
        difference_text(results),
        failure_table(results),
    ]
    return '\n\n'.join(part for part in parts if part)


def csv_text(results: Results) -> str:
    """A line per row, in units that their names tell."""
    fields = (
        'contestant', 'title', 'ours', 'form', 'engine', 'precision', 'batch',
        'median_ms', 'low_ms', 'high_ms', 'rounds', 'times_as_fast', 'times_low',
        'times_high', 'peak_mb', 'difference', 'params', 'macs_executed', 'macs_once',
        'operators', 'mb_moved', 'published_ap', 'source', 'error',
    )  # fmt: skip
    file = io.StringIO()
    writer = csv.DictWriter(file, fields, lineterminator='\n')
    writer.writeheader()
    seen: set[Entry] = set()
    for row in results.rows:
        if row.entry not in seen:
            seen.add(row.entry)
            writer.writerow(_csv_row(results, row))
    return file.getvalue()


def _csv_row(results: Results, row: Row) -> dict:
    entry = row.entry
    about = results.contestants[entry.contestant]
    line = dict(
        contestant=entry.contestant,
        title=about['title'],
        ours=about['ours'],
        form=entry.form,
        engine=entry.engine,
        precision=entry.precision,
        batch=entry.batch,
        peak_mb=row.megabytes,
        difference=row.difference,
        published_ap=about['ap'],
        source=about['source'],
        error=row.error,
    )
    # Engines of exported networks fold norms themselves.
    eager = entry.engine not in ('onnxruntime', 'openvino')
    form = OPTIMIZED if eager else GRAPH
    form = (AS_IS if eager else FOLDED) if entry.form != OPTIMIZED else form
    costs = results.costs.get(entry.contestant, {}).get(form)
    if costs is not None:
        line |= dict(
            params=costs.params,
            macs_executed=costs.macs,
            macs_once=costs.macs_once,
            operators=costs.operators,
            mb_moved=round(costs.megabytes, 3),
        )
    if row.seconds:
        ms, rival = row.milliseconds, results.rival(row)
        line |= dict(
            median_ms=ms.median, low_ms=ms.low, high_ms=ms.high, rounds=len(row.seconds)
        )
        if rival is not None:
            times = rival.timing.over(row.timing)
            line |= dict(
                times_as_fast=times.median, times_low=times.low, times_high=times.high
            )
    return {
        k: float(f'{v:.6g}') if isinstance(v, float) else v for k, v in line.items()
    }


def write_report(folder: Path, results: Results) -> None:
    """Write results.json, results.csv and results.md."""
    folder.mkdir(parents=True, exist_ok=True)
    data = json.dumps(results.as_data(), indent=1)
    write_atomically(folder / 'results.json', data.encode())
    write_atomically(folder / 'results.csv', csv_text(results).encode())
    text = f'# Benchmark of pose networks\n\n{full_report(results)}\n'
    write_atomically(folder / 'results.md', text.encode())


def check_markers(readme: Path) -> str:
    """Text of a README that has room for the tables.

    Raises:
        ValueError: If it has not both markers once, in order.
    """
    text = readme.read_text(encoding='utf-8')
    if (text.count(BEGIN), text.count(END)) != (1, 1) or text.index(BEGIN) > text.index(
        END
    ):
        raise ValueError(
            f'{readme} must have the markers {BEGIN} and {END} once each, in this order'
        )
    return text


def update_readme(readme: Path, results: Results) -> None:
    """Put the tables between the markers of a README.

    Raises:
        ValueError: As of :func:`check_markers`.
    """
    text = check_markers(readme)
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    new = f'{before}{BEGIN}\n\n{full_report(results)}\n\n{END}{after}'
    if new != text:
        write_atomically(readme, new.encode())
