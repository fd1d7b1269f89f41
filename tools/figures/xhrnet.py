"""X-HRNet: attention along one image axis, and the two blocks made of it."""

from __future__ import annotations

from .canvas import BLUE, GREEN, GREY, LINE, ORANGE, ROSE, SKY, Canvas

ROWS, COLUMNS, SIDE = 6, 5, 0.32
# What a map, the query over columns and the gate of each row might look like.
MAP = (
    *(0.1, 0.2, 0.3, 0.2, 0.1), *(0.1, 0.4, 0.7, 0.4, 0.1), *(0.2, 0.5, 0.9, 0.5, 0.2),
    *(0.1, 0.5, 0.8, 0.4, 0.1), *(0.1, 0.4, 0.5, 0.4, 0.1), *(0.1, 0.3, 0.2, 0.3, 0.1),
)  # fmt: skip
QUERY = (0.1, 0.35, 0.8, 0.3, 0.1)
VALUE = (0.25, 0.6, 0.8, 0.7, 0.45, 0.25)
GATE = (0.2, 0.7, 0.95, 0.8, 0.45, 0.2)


def _attention(canvas: Canvas) -> None:
    """SUSA with one gate per row."""
    canvas.text(
        (0.4, 0.5), 'SUSA along H: one gate per row', 10, align='left', bold=True
    )
    y = 2.9
    top = y - ROWS * SIDE / 2
    canvas.grid((0.5, top), (ROWS, COLUMNS), BLUE, SIDE, MAP)
    canvas.text((1.3, top - 0.25), 'x: C maps of H x W', 7, GREY)
    right = 0.5 + COLUMNS * SIDE
    canvas.arrow((right, y), (3.0, y), (3.0, 1.5), (3.6, 1.5))
    canvas.box((4.65, 1.5), 'mean over H,\nrows weighted by g', SKY, (2.1, 0.9), 7)
    canvas.arrow((5.7, 1.5), (6.2, 1.5))
    canvas.box((7.15, 1.5), 'a·m + d,\nsoftmax over W', SKY, (1.9, 0.9), 7)
    canvas.arrow((8.1, 1.5), (8.45, 1.5))
    canvas.grid((8.5, 1.34), (1, COLUMNS), SKY, SIDE, QUERY)
    canvas.text((9.3, 1.1), 'query q: 1 x W', 7, GREY)
    canvas.arrow((9.3, 1.66), (9.3, y - 0.25))
    canvas.join((9.3, y), '@')
    canvas.arrow((3.0, y), (9.05, y))
    canvas.text((6, y + 0.25), 'weighted sum of the pixels of each row', 7, GREY)
    canvas.arrow((9.55, y), (10.15, y))
    canvas.grid((10.2, top), (ROWS, 1), ORANGE, SIDE, VALUE)
    canvas.text((10.55, top - 0.25), 'v: H x 1', 7, GREY)
    canvas.arrow((10.55, y), (10.75, y))
    canvas.box((11.75, y), '1x1, LayerNorm\nover C, sigmoid', GREEN, (1.95, 0.9), 7)
    canvas.arrow((12.75, y), (13.05, y))
    canvas.grid((13.1, top), (ROWS, 1), GREEN, SIDE, GATE)
    canvas.text((13.26, top - 0.25), 'gate', 7, GREY)
    canvas.arrow((13.26, top + ROWS * SIDE), (13.26, 4.65))
    canvas.join((13.26, 4.9), '×')
    canvas.arrow((1.3, top + ROWS * SIDE), (1.3, 4.9), (13.0, 4.9))
    canvas.arrow((13.51, 4.9), (14.3, 4.9))
    canvas.text((14.45, 4.9), 'y', 9, align='left')


def _block(canvas: Canvas, top: float, title: str, parts: tuple[str, ...]) -> None:
    """A shuffle unit around attention, depthwise convolution and attention."""
    canvas.text((0.4, top), title, 10, align='left', bold=True)
    y = top + 1.15
    canvas.arrow((0.6, y), (1.2, y), (1.2, y - 0.5), (13.0, y - 0.5), (13.0, y - 0.1))
    canvas.text((2.6, y - 0.72), 'first half: unchanged', 7, GREY)
    canvas.arrow((1.2, y), (1.2, y + 0.4), (2.4, y + 0.4))
    colours = (ORANGE, LINE, ROSE)
    for i, (text, colour) in enumerate(zip(parts, colours, strict=True)):
        x = 3.9 + i * 3.4
        canvas.box((x, y + 0.4), text, colour, (3.0, 0.7), 7.5)
        end = (x + 1.9, y + 0.4) if i < 2 else (12.4, y + 0.4)
        canvas.arrow((x + 1.5, y + 0.4), end)
    canvas.box((13.0, y + 0.2), 'shuffle', BLUE, (1.2, 0.6), 7.5)
    canvas.arrow((13.6, y + 0.2), (14.4, y + 0.2))


def draw() -> bytes:
    """The whole picture."""
    canvas = Canvas(15, 10.6)
    _attention(canvas)
    parts = ('SUSA along W', 'DW 3x3, norm', 'SUSA along H')
    _block(canvas, 5.9, 'Sequential block (S)', parts)
    both = 'SUSA along H | along W'
    _block(canvas, 8.25, 'Parallel block (P)', (both, 'DW 3x3, norm', both))
    return canvas.png()
