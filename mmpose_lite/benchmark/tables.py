"""Tables of the benchmark, and the documents that hold them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from ..analysis import Spread
from ..io.files import write_atomically
from ..io.markdown import fill_marked, markdown_table, marked
from .rows import AS_IS, STRAIGHTFORWARD, Results, Row, fastest

NONE = '–'
"""What stands where there is no figure."""
SECTIONS = ('benchmark summary', 'benchmark tables', 'benchmark gains')
"""Names of the markers of a document: what matters most, all, what each pass gains."""


def middle_half(spread: Spread, digits: int | None = None) -> str:
    """A median, and the quartiles in brackets, in as many digits as their size asks."""
    middle, low, high = spread.median, spread.low, spread.high
    if digits is None:
        digits = 2 if middle < 10 else 1 if middle < 1000 else 0
    return f'{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})'


def times_as_fast(row: Row | None, rival: Row | None) -> str:
    """How many times as fast a row is as another of its rounds."""
    both = row is not None and rival is not None and row.group == rival.group
    if not both or not row.seconds or not rival.seconds:
        return NONE
    return middle_half(rival.timing.over(row.timing), 2)


def header_text(results: Results) -> str:
    """Machine, versions and how it was measured."""
    about = results.header
    versions = ', '.join(f'{name} {v}' for name, v in about['versions'].items())
    threads, (height, width) = about['threads'], about['image_size']
    return (
        f'{about["date"][:10]}, {about["cpu"]} ({about["cores"]} cores), '
        f'{threads} thread{"s" * (threads > 1)}, '
        f'{height}x{width} (H x W), load average {about["load_average"]:.1f} before. '
        f'{versions}.\n\n'
        'Timed is the network on a normalised image, backbone and head; weights are '
        'random. Every row runs in a process of its own, all of a group interleaved '
        f'round by round; {about["rounds"]} rounds after {about["warmup"]} that do not '
        'count (of the slowest rows every fifth). Figures are medians, the middle half '
        'of the rounds in brackets; ratios are taken within rounds.'
    )


def networks_table(results: Results) -> str:
    """What needs no clock."""
    header = (
        'network', 'by', 'published AP', 'params, M', 'MACs executed, M',
        'MACs counted once, M', 'operators', 'MB moved', 'operators, optimized',
        'MB moved, optimized',
    )  # fmt: skip
    rows = []
    for about in results.networks.values():
        if (costs := about.get('costs')) is None:
            continue
        figures = (
            (about['ap'], '.1f', 1), (costs['params'], '.3f', 1e6),
            (costs['macs'], '.1f', 1e6), (costs['macs_once'], '.1f', 1e6),
            (costs['operators'], '.0f', 1), (costs['megabytes'], '.0f', 1),
            (costs.get('operators_optimized'), '.0f', 1),
            (costs.get('megabytes_optimized'), '.0f', 1),
        )  # fmt: skip
        cells = [
            NONE if n is None else f'{n / unit:{form}}' for n, form, unit in figures
        ]
        rows.append((about['title'], 'ours' if about['ours'] else 'MMPose', *cells))
    return (
        f'### Networks\n\n{markdown_table(header, rows)}\n\n'
        '*MACs executed*: torch.utils.flop_counter, halved: convolutions and matrix '
        'products as often as they run, attention in its plain form. *MACs counted '
        'once*: the same, but what runs again with the same weights is not counted '
        'again, as in counters that visit each module once (torchstat; the figures of '
        'the papers). *Operators* are those of PyTorch in eager mode without views, '
        'for one image, batch norms folded; *MB moved* is what they read and write. '
        "*Optimized* is `deploy.optimize(target='eager')`."
    )


def _grid(results: Results, batch: int, cell: Callable[[Row], str]) -> str:
    """A table with a line per network and form, a column per engine."""
    rows = [r for r in results.rows if r.kind == (False, batch)]
    # Of the baseline's rows the first with times.
    found = {r.key: r for r in sorted(rows[::-1], key=lambda r: bool(r.seconds))}
    columns = list(dict.fromkeys(row.column for row in rows))

    def text(name: str, form: str, column: tuple[str, str]) -> str:
        row = found.get((name, form, *column, batch))
        return NONE if row is None else cell(row) if row.seconds else 'failed'

    lines = [
        (f'{about["title"]}, {form}', *(text(name, form, c) for c in columns))
        for name, about in results.networks.items()
        for form in dict.fromkeys(r.form for r in rows if r.network == name)
    ]
    return markdown_table(('network', *map(' '.join, columns)), lines)


def grids(results: Results, batch: int) -> list[str]:
    """Milliseconds, ratios and memory of every row."""
    title = results.networks[results.baseline]['title']
    forms = {row.form for row in results.good(batch)}
    what = f', exported {STRAIGHTFORWARD}ly,' if STRAIGHTFORWARD in forms else ''
    cells: dict[str, Callable[[Row], str]] = {
        f'Latency, ms, batch {batch}': lambda row: middle_half(row.milliseconds),
        f'Times as fast as {title}{what} on the same engine, batch {batch}': (
            lambda row: times_as_fast(row, results.rival(row))
        ),
        f'Peak memory, MB, batch {batch}': (
            lambda row: NONE if row.megabytes is None else f'{row.megabytes:.0f}'
        ),
    }
    tables = [f'### {name}\n\n{_grid(results, batch, c)}' for name, c in cells.items()]
    about = 'Above that of a process with PyTorch loaded: engine, network, activations.'
    return [*tables, about]


def best_rows(results: Results, batch: int) -> dict[str, Row]:
    """Every network in f32 on the engine and in the form that suit it best."""
    rows = [row for row in results.good(batch) if row.precision == 'f32']
    best = {
        name: fastest(row for row in rows if row.network == name)
        for name in results.networks
    }
    return {name: row for name, row in best.items() if row is not None}


def best_table(results: Results, batch: int) -> str:
    """Every network on its best engine, compared with the baseline on its own."""
    lines = []
    for name, row in best_rows(results, batch).items():
        rival = fastest(r for r in results.rivals(row) if r.precision == 'f32')
        ms, ratio = middle_half(row.milliseconds), times_as_fast(row, rival)
        title = results.networks[name]['title']
        lines.append((title, row.form, row.engine, ms, ratio))
    header = ('network', 'form', 'engine', 'ms', 'times as fast as the baseline')
    title = results.networks[results.baseline]['title']
    return (
        f'### Each on its best engine, f32, batch {batch}\n\n'
        f'{markdown_table(header, lines)}\n\nThe baseline is {title}.'
    )


def training_table(results: Results) -> str:
    """A training step of every network that has one."""
    rows = results.good()
    if not rows:
        return ''
    lines = [
        (
            results.networks[row.network]['title'],
            middle_half(row.timing.spread, 2),
            times_as_fast(row, results.rival(row)),
            NONE if row.megabytes is None else f'{row.megabytes:.0f}',
        )
        for row in rows
    ]
    header = ('network', 's a step', 'times as fast as the baseline', 'peak memory, MB')
    return (
        f'### Training step\n\n{markdown_table(header, lines)}\n\n'
        f'Forward, backward and Adam, batch {rows[0].batch}.'
    )


def gain_tables(results: Results) -> str:
    """Operators, bytes, differences and milliseconds after each pass."""
    parts = []
    for name, about in results.networks.items():
        rows = [r for r in results.rows if r.network == name and r.batch == 1]
        for target, gains in about.get('gains', {}).items():
            title = f'### Gain per pass: {about["title"]}, for {target}'
            parts.append(f'{title}\n\n{_gains(gains, rows)}')
    return '\n\n'.join(parts)


def _gains(gains: Sequence[dict], rows: Sequence[Row]) -> str:
    """Table of one network for one target, from those rows that have its passes."""
    forms = [AS_IS, *(gain['name'] for gain in gains[1:])]
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row.column, {}).setdefault(row.form, row)
    timed = {' '.join(c): by for c, by in found.items() if set(by) == set(forms)}
    lines = []
    for gain, form in zip(gains, forms, strict=True):
        mine = [by[form] for by in timed.values()]
        lines.append((
            gain['name'], str(gain['traffic']['operators']),
            f'{gain["megabytes"]:.0f}', f'{gain["difference"]:.1g}',
            f'{gain["difference_f32"]:.1g}',
            *(middle_half(r.milliseconds) if r.seconds else NONE for r in mine),
            *(times_as_fast(by[form], by[AS_IS]) for by in timed.values()),
        ))  # fmt: skip
    header = (
        'pass', 'operators', 'MB moved', 'difference f64', 'difference f32',
        *(f'{column}, ms' for column in timed),
        *(f'{column}, times as fast' for column in timed),
    )  # fmt: skip
    return markdown_table(header, lines)


def difference_text(results: Results) -> str:
    """How much outputs differ from PyTorch's, per engine and precision."""
    largest: dict[str, tuple[float, str]] = {}
    for row in results.rows:
        if row.seconds and row.difference is not None:
            column, found = ' '.join(row.column), (row.difference, row.network)
            largest[column] = max(largest.get(column, found), found)
    parts = [f'{k} {value:.1g} ({name})' for k, (value, name) in largest.items()]
    what = 'Largest difference of an output from that of PyTorch as is'
    return f'{what}, over the largest output: {", ".join(parts)}.' if parts else ''


def failure_table(results: Results) -> str:
    """What has no figures, and why."""
    networks = results.networks.items()
    rows = [(name, NONE, NONE, a['error']) for name, a in networks if 'error' in a]
    for row in results.rows:
        if row.error is not None:
            where = f'{" ".join(row.column)}, batch {row.batch}'
            rows.append((row.network, row.form, where, row.error))
    table = markdown_table(('network', 'form', 'engine', 'why'), rows)
    return f'### Failed\n\n{table}' if rows else ''


def sections(results: Results) -> dict[str, str]:
    """What documents may hold, by name; empty where nothing was measured."""
    batches = dict.fromkeys(r.batch for r in results.rows if r.engine != 'training')
    batches = [batch for batch in batches if results.good(batch)]
    best = [best_table(results, batch) for batch in batches]
    training, failed = training_table(results), failure_table(results)
    costs = any('costs' in about for about in results.networks.values())
    tables = [networks_table(results)] if costs else []
    for batch, table in zip(batches, best, strict=True):
        tables += [table, *grids(results, batch)]
    tables += [training, difference_text(results), failed]
    # With passes in their place the usual forms are missing.
    if results.header['steps']:
        kept: tuple[list[str], ...] = ([], [], [gain_tables(results), failed])
    else:
        kept = ([*best[:1], training], tables, [])
    texts = ['\n\n'.join(filter(None, part)) for part in kept]
    head = header_text(results)
    return {
        name: f'{head}\n\n{text}' if text else ''
        for name, text in zip(SECTIONS, texts, strict=True)
    }


def report(results: Results) -> str:
    """All tables."""
    _, tables, gains = sections(results).values()
    return gains or tables or header_text(results)


def write_results(folder: Path, results: Results) -> None:
    """Write results.json and results.md."""
    folder.mkdir(parents=True, exist_ok=True)
    data = json.dumps(asdict(results), indent=1)
    write_atomically(folder / 'results.json', data.encode())
    text = f'# Benchmark of pose networks\n\n{report(results)}\n'
    write_atomically(folder / 'results.md', text.encode())


def update_document(document: Path, results: Results | None) -> None:
    """Put tables between the markers ``<!-- begin benchmark tables -->`` of a document.

    What was not measured stays as it is; without results the markers are only checked.

    Raises:
        ValueError: If it has none of ``SECTIONS``, or a marker without its partner.
    """
    text = old = document.read_text(encoding='utf-8')
    names = [name for name in SECTIONS if f'<!-- begin {name} -->' in text]
    if not names:
        raise ValueError(f'{document} must have markers of one of {SECTIONS}')
    for name in names:
        marked(text, name)
        part = sections(results)[name] if results is not None else ''
        text = fill_marked(text, name, part) if part else text
    if text != old:
        write_atomically(document, text.encode())
