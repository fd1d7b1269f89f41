"""Lite-HRNet: the skeleton that all light families share, and its unit."""

from __future__ import annotations

from .canvas import BLUE, GREEN, GREY, LINE, ORANGE, ROSE, SKY, Canvas

COLOURS = (BLUE, SKY, ORANGE, ROSE)
ROW = 1.25


def _skeleton(canvas: Canvas) -> None:
    """Stem, three stages with two to four resolutions, iterative head."""
    canvas.text((0.4, 0.5), 'Skeleton', 10, align='left', bold=True)
    canvas.box((1.35, 2), 'stem\n1/4', LINE, (1.5, 1.0))
    starts = (3.2, 6.3, 9.4)
    names = ('stage 1', 'stage 2', 'stage 3')
    for stage, (x, name) in enumerate(zip(starts, names, strict=True)):
        levels = stage + 2
        canvas.text((x + 1.0, 1.15), name, 8, GREY)
        for i in range(levels):
            y = 2 + i * ROW
            canvas.box((x + 0.5, y), 'blocks', COLOURS[i], (1.0, 0.62), 7)
            canvas.box((x + 2.0, y), '+', COLOURS[i], (0.5, 0.62), 9)
            for j in range(levels):
                start, end = (x + 1.0, y), (x + 1.75, 2 + j * ROW)
                canvas.arrow(start, end, colour=COLOURS[i], width=0.8)
        last = (1.35 + 0.75, 2.0) if stage == 0 else (starts[stage - 1] + 2.25, 2.0)
        for i in range(levels):
            source = min(i, levels - 2) if stage else 0
            canvas.arrow(
                (last[0], 2 + source * ROW), (x, 2 + i * ROW), dashed=i == levels - 1
            )
    for i in range(4):
        y = 2 + i * ROW
        canvas.arrow((11.65, y), (12.35, y))
        canvas.box((12.9, y), 'DW, 1x1', COLOURS[i], (1.1, 0.62), 7)
        if i:
            canvas.arrow((12.9, y - 0.31), (12.9, y - ROW + 0.31))
        canvas.text((14.95, y), f'1/{4 * 2**i}', 8, GREY, 'left')
    canvas.arrow((13.45, 2), (14.75, 2))
    canvas.text((12.9, 1.15), 'head', 8, GREY)
    canvas.text((14.1, 1.7), 'heatmaps', 7, GREY)
    canvas.text(
        (0.4, 6.75),
        'solid: same resolution or exchange   dashed: a new resolution, stride 2',
        7.5,
        GREY,
        'left',
    )


def _unit(canvas: Canvas, top: float) -> None:
    """Conditional channel weighting on two of the resolutions."""
    canvas.text(
        (0.4, top), 'Unit: conditional channel weighting', 10, align='left', bold=True
    )
    gate = top + 2.95
    # The lower map is the upper one's mirror image: both turn to the gate between them.
    for name, colour, sign in (('high res.', BLUE, 1), ('low res.', ORANGE, -1)):
        y = gate - sign * 1.6
        changed, kept = y + sign * 0.45, y - sign * 0.7
        canvas.box((1.35, y), name, colour, (1.5, 0.7), 7.5)
        canvas.arrow(
            (2.1, y), (2.6, y), (2.6, kept), (13.4, kept), (13.4, y - sign * 0.3)
        )
        canvas.text((4.0, kept - sign * 0.23), 'first half: unchanged', 7, GREY)
        canvas.arrow((2.6, y), (2.6, changed), (7.65, changed))
        canvas.text((3.6, changed - sign * 0.23), 'second half', 7, GREY)
        canvas.join((7.9, changed), '×')
        canvas.arrow((8.15, changed), (8.75, changed))
        canvas.box((9.55, changed), 'DW 3x3', colour, (1.5, 0.66), 7.5)
        canvas.arrow((10.3, changed), (10.75, changed))
        canvas.box((11.7, changed), 'spatial\nweighting', GREEN, (1.7, 0.9), 7)
        canvas.arrow((12.55, changed), (13.4, changed), (13.4, y + sign * 0.3))
        canvas.box((13.4, y), 'shuffle', colour, (1.2, 0.6), 7.5)
        canvas.arrow((14.0, y), (14.8, y))
        edge = gate - sign * 0.48
        canvas.arrow((4.6, changed), (4.6, edge), colour=ROSE)
        canvas.arrow((7.9, edge), (7.9, changed + sign * 0.24), colour=ROSE)
    canvas.box(
        (6.05, gate),
        'cross-resolution weighting\n'
        'pool all to the lowest · concat · 1x1 ReLU · 1x1 sigmoid · up-sample',
        ROSE,
        (7.2, 0.95),
        7,
    )


def draw() -> bytes:
    """The whole picture."""
    canvas = Canvas(15.9, 13.5)
    _skeleton(canvas)
    _unit(canvas, 7.6)
    return canvas.png()
