"""Files of the benchmark: CSV for programs, tables between markers of documents."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

from mmpose_lite.io.files import write_atomically

from .contestants import AS_IS, OPTIMIZED
from .pose_engines import FOLDED, optimized_for
from .pose_plan import Entry, exported, target_of
from .pose_plot import plot_pareto
from .pose_report import full_report, sections
from .pose_results import Results, Row

BEGIN, END = '<!-- benchmark:begin', '<!-- benchmark:end -->'
"""The first may name the section to put there: ``<!-- benchmark:begin gains -->``."""
SECTIONS = ('summary', 'tables', 'gains')
MARKED = re.compile(rf'{BEGIN}(?: (\w+))? -->(?:(?!{BEGIN}).)*?{END}', re.DOTALL)


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
    eager = not exported(entry.engine)
    form = AS_IS if eager else FOLDED
    if entry.form == OPTIMIZED:
        form = optimized_for(target_of(entry.engine))
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
    """Write results.json, .csv and .md, and pareto.png if there is what it shows."""
    folder.mkdir(parents=True, exist_ok=True)
    data = json.dumps(results.as_data(), indent=1)
    write_atomically(folder / 'results.json', data.encode())
    write_atomically(folder / 'results.csv', csv_text(results).encode())
    text = f'# Benchmark of pose networks\n\n{full_report(results)}\n'
    write_atomically(folder / 'results.md', text.encode())
    picture = plot_pareto(results)
    if picture is not None:
        write_atomically(folder / 'pareto.png', picture)


def check_markers(document: Path) -> str:
    """Text of a document that has room for tables.

    Raises:
        ValueError: If it has no markers, or not each is closed, or one asks for a
            section that does not exist.
    """
    text = document.read_text(encoding='utf-8')
    names = [found[1] or 'summary' for found in MARKED.finditer(text)]
    if not names or {text.count(BEGIN), text.count(END)} != {len(names)}:
        raise ValueError(
            f'{document} must have markers {BEGIN} --> and {END}, each pair closed '
            'before the next'
        )
    for name in names:
        if name not in SECTIONS:
            raise ValueError(
                f'a marker in {document} must name one of {SECTIONS}, got {name!r}'
            )
    return text


def update_document(document: Path, results: Results) -> None:
    """Put tables between the markers of a document.

    What was not measured this time stays as it is.

    Raises:
        ValueError: As of :func:`check_markers`.
    """
    text, parts = check_markers(document), sections(results)

    def fill(found: re.Match[str]) -> str:
        part = parts[found[1] or 'summary']
        begin = found[0][: found[0].index('-->') + 3]
        return f'{begin}\n\n{part}\n\n{END}' if part else found[0]

    new = MARKED.sub(fill, text)
    if new != text:
        write_atomically(document, new.encode())
