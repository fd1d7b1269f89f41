"""HR-NAS: a searching block, and what the search does to its channels."""

from __future__ import annotations

from .canvas import BLUE, GREEN, GREY, LINE, ORANGE, ROSE, Canvas

KERNELS = ((3, BLUE), (5, ORANGE), (7, ROSE))
# Importances of a few channels of each kernel size, before and after a search.
BEFORE = (0.7, 0.8, 0.75, 0.7, 0.85, 0.75)
AFTER = ((0.9, 0.0, 0.8, 0.6, 0.95, 0.5), (0.0, 0.7, 0.0, 0.0, 0.6, 0.0), (0.0,) * 6)


def _block(canvas: Canvas) -> None:
    """Mixed convolutions, transformer and shortcut."""
    canvas.text((0.4, 0.5), 'Searching block', 10, align='left', bold=True)
    canvas.text((0.5, 3.2), 'x', 9)
    for i, (kernel, colour) in enumerate(KERNELS):
        y = 1.4 + i * 0.95
        canvas.arrow((0.7, 3.2), (1.1, 3.2), (1.1, y), (1.6, y))
        canvas.box((2.6, y), '1x1: C to n', colour, (2.0, 0.7), 7.5)
        canvas.arrow((3.6, y), (4.0, y))
        canvas.box((5.2, y), f'DW {kernel}x{kernel}, norm γ', colour, (2.4, 0.7), 7.5)
        canvas.arrow((6.4, y), (6.8, y))
        canvas.box((7.8, y), "1x1: n to C'", colour, (2.0, 0.7), 7.5)
        canvas.arrow((8.8, y), (9.5, y), (9.5, 2.35 + (i - 1) * 0.25), head=i != 1)
    canvas.join((9.5, 2.35), '+')
    canvas.arrow((9.75, 2.35), (10.2, 2.35))
    canvas.box((10.9, 2.35), 'norm', LINE, (1.4, 0.7), 7.5)
    canvas.arrow((11.6, 2.35), (12.5, 2.35), (12.5, 2.95))
    canvas.arrow((1.1, 3.2), (1.1, 4.25), (1.6, 4.25))
    canvas.box(
        (5.2, 4.25),
        'transformer on 8x8 maps: n tokens (norm γ), encoder, decoder',
        GREEN,
        (7.2, 0.7),
        7.5,
    )
    canvas.arrow((8.8, 4.25), (12.5, 4.25), (12.5, 3.45))
    canvas.arrow((1.1, 4.25), (1.1, 5.2), (1.6, 5.2))
    canvas.box((5.2, 5.2), 'shortcut: x, or a grouped 1x1', LINE, (7.2, 0.7), 7.5)
    canvas.arrow((8.8, 5.2), (12.5, 5.2), (12.5, 4.25), head=False)
    canvas.join((12.5, 3.2), '+')
    canvas.arrow((12.75, 3.2), (13.4, 3.2))
    canvas.text((13.5, 3.2), 'y', 9, align='left')


def _bars(canvas: Canvas, left: float, base: float, heights: object) -> None:
    """Importances of the channels of each kernel size."""
    for i, ((kernel, colour), row) in enumerate(zip(KERNELS, heights, strict=True)):
        for j, height in enumerate(row):
            x = left + i * 1.5 + j * 0.2
            dead = height == 0
            canvas.arrow(
                (x, base),
                (x, base - max(height, 0.04) * 1.1),
                colour='#c9cdd4' if dead else colour,
                head=False,
                width=3.4,
            )
        canvas.text((left + i * 1.5 + 0.5, base + 0.25), f'{kernel}x{kernel}', 7, GREY)


def _search(canvas: Canvas, top: float) -> None:
    """Penalty, importances that fall, and the cut."""
    canvas.text((0.4, top), 'Search', 10, align='left', bold=True)
    base = top + 2.0
    _bars(canvas, 0.7, base, (BEFORE,) * 3)
    canvas.text((2.6, top + 0.55), '|γ| of each hidden channel', 7, GREY)
    canvas.arrow((5.3, base - 0.5), (6.2, base - 0.5))
    canvas.text((5.75, base - 1.0), 'loss +\nρ Σ α |γ|', 7.5)
    _bars(canvas, 6.6, base, AFTER)
    canvas.text((8.5, top + 0.55), 'after training under the penalty', 7, GREY)
    canvas.arrow((11.1, base - 0.5), (11.9, base - 0.5))
    canvas.text((11.5, base - 0.8), 'shrink', 7.5)
    for i, (kernel, width, colour) in enumerate(((3, 5, BLUE), (5, 2, ORANGE))):
        canvas.box(
            (13.2, base - 0.95 + i * 0.85),
            f'{kernel}x{kernel}, n = {width}',
            colour,
            (2.2, 0.65),
            7.5,
        )


def draw() -> bytes:
    """The whole picture."""
    canvas = Canvas(15, 9.3)
    _block(canvas)
    _search(canvas, 6.3)
    return canvas.png()
