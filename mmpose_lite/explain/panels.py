"""Parts of a picture that explains a model: panels over a person, in sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from .record import Calls


@dataclass(frozen=True)
class Seen:
    """What panels are made of.

    Attributes:
        crop: The network's input ``(H, W, 3)``, ``uint8`` BGR.
        points: ``(J, 3)``: predicted x, y in px of the crop, and score.
        names: Names of the keypoints, with spaces.
        chosen: Numbers of the keypoints to show one by one.
    """

    model: nn.Module
    calls: Calls
    crop: np.ndarray
    points: np.ndarray
    names: Sequence[str]
    chosen: Sequence[int]


@dataclass(frozen=True)
class Panel:
    """One small picture of the person, and what is laid over or beside it.

    Attributes:
        heat: ``(h, w)`` over the whole crop, from its smallest to its largest value;
            NaN is drawn grey.
        low: Value of the darkest colour; the smallest of ``heat`` if not given.
        kept: ``(h, w)`` over the whole crop, dark where false.
        rows: ``(h,)``, a strip at the right.
        columns: ``(w,)``, a strip below.
        bars: ``(C,)`` within 0 to 1, sorted and drawn as an area below.
        links: ``(J, J)`` symmetric, lines between keypoints, wide where large.
        marks: Keypoints that get a dot; None for all of them.
    """

    title: str
    heat: np.ndarray | None = None
    low: float | None = None
    kept: np.ndarray | None = None
    rows: np.ndarray | None = None
    columns: np.ndarray | None = None
    bars: np.ndarray | None = None
    links: np.ndarray | None = None
    marks: Sequence[int] | None = ()
    skeleton: bool = False

    @property
    def has_foot(self) -> bool:
        """Whether something is drawn below the crop."""
        return self.columns is not None or self.bars is not None


@dataclass(frozen=True)
class Section:
    """Panels below a title and a smaller note, so many in a row."""

    title: str
    panels: Sequence[Panel]
    note: str = ''
    columns: int = 6


@dataclass(frozen=True)
class Explanation:
    """What a model made of one person; crop and points are those of :class:`Seen`.

    Attributes:
        sections: From the prediction to what led to it.
        pictures: Further pictures of the model itself, ``(h, w, 3)`` ``uint8`` BGR.
    """

    crop: np.ndarray
    points: np.ndarray
    sections: Sequence[Section]
    pictures: Sequence[np.ndarray] = ()


def spread(count: int, most: int) -> list[int]:
    """At most ``most`` of the numbers below ``count``, evenly, both ends included."""
    return [int(i) for i in np.linspace(0, count - 1, min(count, most)).round()]
