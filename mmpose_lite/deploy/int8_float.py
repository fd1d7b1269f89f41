"""Which nodes of a graph stay in float32 when the rest becomes int8."""

from __future__ import annotations

FLOAT_NODES: tuple[str, ...] = ()
