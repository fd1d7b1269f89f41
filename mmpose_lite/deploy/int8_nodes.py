"""Which nodes of a graph become int8; all others stay in float32.

Patterns, as of the shell, of names of nodes in rewritten networks. They were found by
computing groups of convolutions in int8 with real weights and looking at how far the
keypoints moved. What moves them far stays out: convolutions near the image and in
exchanges, whose inputs have the widest ranges; depthwise ones, whose channels have
ranges of their own; the high resolutions; the early stages, whose errors everything
after them repeats; and the last ones, which write the heatmap itself.
"""

from __future__ import annotations

INT8_NODES: dict[str, tuple[str, ...]] = {
    # Pointwise convolutions of naive units, last stage, a quarter of the resolution.
    'LiteHRNet': ('*/stages.2/*/transform/chains.2.[02]/*',),
}
"""Class of the backbone to patterns; measured for the wider naive Lite-HRNet-18."""


def patterns_of(backbone: str) -> tuple[str, ...]:
    """Patterns of the nodes that become int8 in a network of some backbone.

    Raises:
        ValueError: If nobody has found out yet which may.
    """
    if backbone not in INT8_NODES:
        raise ValueError(
            f'int8 was measured for {tuple(INT8_NODES)}, not for {backbone}; name the '
            'nodes that shall become int8 (--int8-nodes)'
        )
    return INT8_NODES[backbone]
