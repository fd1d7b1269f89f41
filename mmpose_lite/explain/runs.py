"""Measured figures as a short table."""

from __future__ import annotations

from collections.abc import Mapping


def format_table(rows: Mapping[str, str]) -> str:
    """Two aligned columns between rules.

    Args:
        rows: What was measured to its value, in order.

    Returns:
        Text of ``len(rows) + 2`` lines, without a newline at its end.
    """
    name_width = max(map(len, rows), default=0)
    value_width = max(map(len, rows.values()), default=0)
    rule = '-' * (name_width + value_width + 3)
    lines = [
        f'{name:<{name_width}} | {value:>{value_width}}' for name, value in rows.items()
    ]
    return '\n'.join([rule, *lines, rule])
