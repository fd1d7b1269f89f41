"""Tables of the benchmark, in Markdown."""

from __future__ import annotations

from collections.abc import Callable

from .contestants import AS_IS, OPTIMIZED, STRAIGHTFORWARD
from .pose_cells import NONE, middle_half
from .pose_costs import EXECUTED, ONCE
from .pose_engines import FOLDED
from .pose_extras import bound_table, gain_table, training_table
from .pose_plan import Entry
from .pose_results import Results, Row, columns, fastest
from .pose_targets import verdicts
from .tables import markdown_table


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
        f'{height}x{width} (H x W), load average {about["load_average"]:.1f} before. '
        f'{versions}.\n\n'
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


def _table(results: Results, batch: int, cell: Callable[[Row], str]) -> str:
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
    table = _table(results, batch, lambda row: middle_half(row.milliseconds))
    return f'### Latency, ms, batch {batch}\n\n{table}'


def ratio_table(results: Results, batch: int) -> str:
    """How many times as fast every row is as the baseline."""

    def cell(row: Row) -> str:
        rival = results.rival(row)
        if rival is None:
            return NONE
        return middle_half(rival.timing.over(row.timing), 2)

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
        times = None if rival is None else rival.timing.over(best.timing)
        ratio = NONE if times is None else middle_half(times, 2)
        ms = middle_half(best.milliseconds)
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
            middle_half(verdict.measured, 2),
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
    for row in [*results.rows, *results.gain_rows]:
        if row.error is not None:
            entry = row.entry
            where = f'{entry.engine} {entry.precision}, batch {entry.batch}'
            rows.append((entry.contestant, entry.form, where, row.error))
    if not rows:
        return ''
    safe = [tuple(cell.replace('|', '\\|') for cell in row) for row in rows]
    table = markdown_table(('network', 'form', 'engine', 'why'), safe)
    return f'### Failed\n\n{table}'


def sections(results: Results) -> dict[str, str]:
    """What documents may hold, by name; empty where nothing was measured.

    ``summary`` is what matters most, ``tables`` all that was timed, ``gains`` what each
    rewrite gains.
    """
    batches = list(dict.fromkeys(row.entry.batch for row in results.good()))
    summary, tables = [], []
    if batches:
        summary = [target_table(results), best_table(results, batches[0])]
        tables = [target_table(results), contestants_table(results)]
    for batch in batches:
        tables += [
            best_table(results, batch),
            latency_table(results, batch),
            ratio_table(results, batch),
            memory_table(results, batch),
        ]
    extras = [training_table(results), bound_table(results)]
    tables += [*extras, difference_text(results) if batches else '']
    tables += [failure_table(results)]
    header = header_text(results)
    found = {
        'summary': [*summary, *extras],
        'tables': tables,
        'gains': [gain_table(results)],
    }
    return {
        name: '\n\n'.join([header, *filter(None, parts)]) if any(parts) else ''
        for name, parts in found.items()
    }


def full_report(results: Results) -> str:
    """All tables."""
    found = sections(results)
    parts = [found['tables'] or header_text(results), gain_table(results)]
    return '\n\n'.join(filter(None, parts))
