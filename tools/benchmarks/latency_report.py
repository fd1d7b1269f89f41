"""Table and plot of predicted against measured times."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from matplotlib.figure import Figure

from .latency_check import Verification
from .tables import markdown_table

LEAST_SPEARMAN, LARGEST_ERROR = 0.95, 0.1


def verification_data(found: Sequence[Verification], rounds: int) -> list[dict]:
    """What the table's file keeps of it."""
    return [
        dict(
            image_size=list(one.image_size),
            rounds=rounds,
            spearman=one.spearman,
            spearman_of_macs=one.spearman_macs,
            median_error=one.median_error,
            networks=[dict(asdict(c), error=c.error) for c in one.checks],
        )
        for one in found
    ]


def verification_table(found: Verification) -> str:
    """Every network, then the figures that count."""
    height, width = found.image_size
    rows = [
        (
            f'{100 * check.fraction:.0f} %',
            f'{check.macs / 1e6:.1f}',
            f'{check.predicted:.2f}',
            f'{check.measured:.2f}',
            f'{100 * check.error:+.1f} %',
        )
        for check in found.checks
    ]
    header = ('of the supernet', 'MMACs', 'predicted ms', 'measured ms', 'error')
    met = found.spearman >= LEAST_SPEARMAN and found.median_error <= LARGEST_ERROR
    return (
        f'### {height}x{width}\n\n{markdown_table(header, rows)}\n\n'
        f'Spearman {found.spearman:.3f} (at least {LEAST_SPEARMAN}; of MACs '
        f'{found.spearman_macs:.3f}), median error {100 * found.median_error:.1f} % '
        f'(at most {100 * LARGEST_ERROR:.0f} %): {"met" if met else "not met"}'
    )


def plot_verification(
    found: Sequence[Verification], header: Mapping[str, Any]
) -> bytes:
    """Predicted against measured milliseconds, as a PNG."""
    figure = Figure(figsize=(5 * len(found) + 0.4, 4.8), dpi=120, layout='constrained')
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, one in zip(panels, found, strict=True):
        measured = [check.measured for check in one.checks]
        predicted = [check.predicted for check in one.checks]
        top = 1.08 * max(*measured, *predicted)
        axes.fill_between(
            [0, top], [0, 0.9 * top], [0, 1.1 * top],
            color='#8a8a8a', alpha=0.2, linewidth=0, label='within 10 %',
        )  # fmt: skip
        axes.plot([0, top], [0, top], color='#8a8a8a', linewidth=1)
        dots = axes.scatter(
            measured, predicted, c=[100 * check.fraction for check in one.checks],
            cmap='viridis', s=26, zorder=3,
        )  # fmt: skip
        figure.colorbar(dots, ax=axes, label="MACs, % of the supernet's")
        axes.set(
            xlim=(0, top), ylim=(0, top), aspect='equal',
            xlabel='measured ms', ylabel='predicted ms',
        )  # fmt: skip
        height, width = one.image_size
        axes.set_title(
            f'{height}x{width}: Spearman {one.spearman:.3f}, '
            f'median error {100 * one.median_error:.1f} %',
            loc='left', fontsize=10,
        )  # fmt: skip
        axes.legend(loc='upper left', frameon=False)
        axes.grid(alpha=0.25)
        axes.spines[['top', 'right']].set_visible(False)
    threads = header['threads']
    figure.suptitle(
        f'Latency of thinned {header["space_name"]} supernets: {header["engine"]}, '
        f'{threads} thread{"s" * (threads > 1)}',
        fontsize=11, fontweight='bold', x=0.01, ha='left',
    )  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()
