"""TokenPose: from an image to heatmaps, and which attention pruning leaves."""

from __future__ import annotations

from .canvas import BLUE, GREEN, GREY, LINE, ORANGE, ROSE, SKY, Canvas

SIDE = 0.3
KEYPOINTS, PATCHES = 2, 6
# Of each visual query, the visual keys that are left; of one list, of the tokens.
ROWS = ((0, 1, 3), (1, 2, 4), (2, 3, 5), (0, 3, 4), (1, 4, 5), (2, 4, 5))
LIST = (1, 2, 4)


def _path(canvas: Canvas) -> None:
    """Patches and key points to tokens, layers, heatmaps."""
    canvas.text((0.4, 0.5), 'Network', 10, align='left', bold=True)
    canvas.text((0.6, 2.0), 'image', 8)
    canvas.arrow((1.05, 2.0), (1.4, 2.0))
    canvas.box((2.35, 2.0), 'stem or\nHRNet trunk', LINE, (1.9, 0.95), 7.5)
    canvas.arrow((3.3, 2.0), (3.65, 2.0))
    canvas.grid((3.75, 1.4), (4, 4), BLUE, SIDE)
    canvas.text((4.35, 1.15), 'patches', 7, GREY)
    canvas.arrow((4.95, 2.0), (5.3, 2.0))
    canvas.box((6.15, 2.0), 'linear\n+ position', BLUE, (1.7, 0.95), 7.5)
    canvas.arrow((7.0, 2.0), (7.5, 2.0))
    canvas.grid((7.6, 1.25), (5, 1), BLUE, SIDE, (0.5,) * 5)
    canvas.text((7.75, 1.0), 'n visual tokens', 7, GREY)
    canvas.grid((7.6, 3.2), (2, 1), ORANGE, SIDE, (0.6,) * 2)
    canvas.text((6.0, 3.5), 'J key-point tokens, learned', 7, GREY)
    for y in (2.0, 3.5):
        canvas.arrow((7.9, y), (8.4, y))
    canvas.box((9.35, 2.6), 'encoder:\n12 layers', ROSE, (1.9, 2.5))
    canvas.arrow((10.3, 3.5), (10.7, 3.5))
    canvas.box((11.65, 3.5), 'graph layers\n(if sparse)', GREEN, (1.9, 0.9), 7.5)
    canvas.arrow((12.6, 3.5), (13.0, 3.5))
    canvas.box((13.7, 3.5), 'MLP', SKY, (1.4, 0.9), 7.5)
    canvas.arrow((13.7, 3.05), (13.7, 2.55))
    canvas.text((13.7, 2.3), 'J heatmaps', 8)
    canvas.text((12.0, 2.0), 'visual tokens end here', 7, GREY)
    canvas.arrow((10.3, 2.0), (10.5, 2.0), head=False)


def _sees(mode: str, query: int, key: int) -> bool | None:
    """Whether a token sees another; None if one of them is gone.

    Key points have negative numbers.
    """
    if mode == 'token':
        gone = any(token >= 0 and token not in LIST for token in (query, key))
        return None if gone else True
    if mode == 'shared':
        return key < 0 or key in LIST
    if mode == 'mask' and query >= 0 and key >= 0:
        return key == query or key in ROWS[query]
    return True


def _matrix(canvas: Canvas, left: float, top: float, title: str, mode: str) -> None:
    """Who sees whom: queries down, keys across, key points first."""
    tokens = KEYPOINTS + PATCHES
    canvas.text((left + tokens * SIDE / 2, top - 0.3), title, 8)
    for row in range(tokens):
        for column in range(tokens):
            query, key = row - KEYPOINTS, column - KEYPOINTS
            seen = _sees(mode, query, key)
            if seen is not None:
                place = (left + column * SIDE, top + row * SIDE)
                colour = ORANGE if query < 0 or key < 0 else BLUE
                canvas.grid(place, (1, 1), colour, SIDE, (0.75 if seen else 0.04,))


def _attention(canvas: Canvas, top: float) -> None:
    """What each mode leaves of the attention."""
    canvas.text((0.4, top), 'Attention after pruning', 10, align='left', bold=True)
    modes = ('dense', 'mask', 'shared', 'token')
    for i, mode in enumerate(modes):
        title = mode if mode == 'dense' else f"mode '{mode}'"
        _matrix(canvas, 1.5 + i * 3.5, top + 1.2, title, mode)
    canvas.text((0.9, top + 2.4), 'queries', 7, GREY)
    canvas.text((2.7, top + 3.85), 'keys', 7, GREY)
    canvas.text(
        (7.7, top + 4.35),
        'orange: with a key point · blue: patches · empty: not seen · missing: gone',
        7.5,
        GREY,
    )


def draw() -> bytes:
    """The whole picture."""
    canvas = Canvas(15, 9.6)
    _path(canvas)
    _attention(canvas, 4.8)
    return canvas.png()
