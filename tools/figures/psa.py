"""Polarized self-attention: its two branches, two layouts and place in a block."""

from __future__ import annotations

from .canvas import BLUE, GREEN, GREY, LINE, ORANGE, ROSE, Canvas


def _branch(
    canvas: Canvas, top: float, title: str, rows: tuple[tuple[str, ...], ...]
) -> None:
    """Query above, value below, their product, and the gate."""
    colour = BLUE if top < 2 else ORANGE
    canvas.text((0.4, top), title, 10, align='left', bold=True)
    query, value = top + 0.85, top + 2.05
    middle = (query + value) / 2
    canvas.text((0.55, middle), 'x', 9)
    for y, names in zip((query, value), rows[:2], strict=True):
        canvas.arrow((0.8, middle), (1.1, middle), (1.1, y), (1.5, y))
        canvas.box((2.6, y), names[0], colour, (2.2, 0.7), 7.5)
        canvas.arrow((3.7, y), (4.2, y))
        canvas.box((5.5, y), names[1], LINE, (2.6, 0.7), 7.5)
        canvas.arrow(
            (6.8, y), (7.6, y), (7.6, middle + (0.25 if y > middle else -0.25))
        )
    canvas.join((7.6, middle), '@')
    canvas.arrow((7.85, middle), (8.4, middle))
    canvas.box((10.05, middle), rows[2][0], GREEN, (3.3, 0.95), 7.5)
    canvas.arrow((11.7, middle), (12.2, middle))
    canvas.text((12.3, middle), rows[2][1], 8, align='left')


def _layouts(canvas: Canvas, top: float) -> None:
    """How the two gates are put together."""
    canvas.text((0.4, top), 'Parallel', 10, align='left', bold=True)
    y = top + 1.2
    canvas.text((0.55, y), 'x', 9)
    for offset, name, colour in ((-0.5, 'channel', BLUE), (0.5, 'spatial', ORANGE)):
        canvas.arrow((0.75, y), (1.1, y), (1.1, y + offset), (1.5, y + offset))
        canvas.box((2.4, y + offset), f'x · {name}', colour, (1.8, 0.7), 7.5)
        shift = 0.25 if offset > 0 else -0.25
        canvas.arrow((3.3, y + offset), (4.2, y + offset), (4.2, y + shift))
    canvas.join((4.2, y), '+')
    canvas.arrow((4.45, y), (5.0, y))
    canvas.text((6.2, top), 'Sequential', 10, align='left', bold=True)
    canvas.text((6.35, y), 'x', 9)
    canvas.arrow((6.55, y), (7.0, y))
    canvas.box((7.9, y), 'x · channel', BLUE, (1.8, 0.7), 7.5)
    canvas.arrow((8.8, y), (9.2, y))
    canvas.box((10.1, y), 'y · spatial', ORANGE, (1.8, 0.7), 7.5)
    canvas.arrow((11.0, y), (11.5, y))


def _place(canvas: Canvas, top: float) -> None:
    """Where attention stands in HRNet's basic block."""
    canvas.text((0.4, top), 'In a basic block', 10, align='left', bold=True)
    y = top + 1.0
    parts = ('3x3, norm, ReLU', 'attention', '3x3, norm')
    canvas.text((0.55, y), 'x', 9)
    canvas.arrow((0.75, y), (1.4, y))
    for i, part in enumerate(parts):
        x = 2.75 + i * 3.3
        canvas.box((x, y), part, ROSE if i == 1 else LINE, (2.6, 0.7), 7.5)
        canvas.arrow((x + 1.3, y), (x + 2.0 if i < 2 else 11.15, y))
    canvas.join((11.4, y), '+')
    canvas.arrow((1.05, y), (1.05, y + 0.75), (11.4, y + 0.75), (11.4, y + 0.25))
    canvas.text((6, y + 0.95), 'shortcut', 7, GREY)
    canvas.arrow((11.65, y), (12.2, y))
    canvas.text((12.3, y), 'ReLU', 8, align='left')


def draw() -> bytes:
    """The whole picture."""
    canvas = Canvas(15.4, 11.6)
    channel = (
        ('1x1: C to 1', 'softmax over P pixels'),
        ('1x1: C to C/2', 'flatten: C/2 x P'),
        ('C/2 x 1: up to C,\nsigmoid', 'channel gate\nC x 1 x 1'),
    )
    spatial = (
        ('1x1: C to C/2', 'mean over the pixels'),
        ('1x1: C to C/2', 'flatten: C/2 x P'),
        ('1 x P: softmax over P\n(by layout), sigmoid', 'spatial gate\n1 x H x W'),
    )
    _branch(canvas, 0.5, 'Channel branch', channel)
    _branch(canvas, 3.5, 'Spatial branch', spatial)
    _layouts(canvas, 6.5)
    _place(canvas, 9.2)
    return canvas.png()
