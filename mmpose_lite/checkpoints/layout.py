"""What a table of one upstream layout consists of.

Patterns are regular expressions that must match a whole key. The rows of a layout are
tried in order and the first that applies decides, so a row that drops a key under a
condition stands before the one that renames it otherwise.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Rename:
    r"""Row for keys that get another name, with the pattern's groups as ``\1``, …."""

    pattern: str
    replacement: str

    def target(self, key: str) -> str:
        """New name of a key that the pattern matches."""
        match = re.fullmatch(self.pattern, key)
        assert match is not None, (self.pattern, key)
        return match.expand(self.replacement)


@dataclass(frozen=True)
class Drop:
    """Row for keys that our models have no use for.

    Args:
        reason: Why nothing is lost; users read it.
        when: Condition on the tensor; a row without one always applies.
        computed_as: Name of the buffer that our models compute instead. A model given
            to the conversion must hold the same values there.
    """

    pattern: str
    reason: str
    when: Callable[[Tensor], bool] | None = None
    computed_as: str | None = None


@dataclass(frozen=True)
class Dropped:
    """A key of a file that was dropped, and the row that says why."""

    key: str
    tensor: Tensor
    row: Drop


# From weights to weights and what was dropped of them.
Prepare = Callable[[dict[str, Tensor]], tuple[dict[str, Tensor], list[Dropped]]]


@dataclass(frozen=True)
class Layout:
    """Table of one upstream layout.

    Args:
        marks: Keys by which it is known; all must be there. Of several layouts whose
            marks are all there, the one with the most marks is meant.
        note: What a user must know to use such weights, beyond the keys.
        prepare: Done before the rows, where one key decides over others.
    """

    name: str
    marks: tuple[str, ...]
    rows: tuple[Rename | Drop, ...]
    note: str = ''
    prepare: Prepare | None = None

    def row(self, key: str, tensor: Tensor) -> Rename | Drop | None:
        """The first row that applies to a key and its tensor."""
        for row in self.rows:
            if re.fullmatch(row.pattern, key) and not (
                isinstance(row, Drop) and row.when and not row.when(tensor)
            ):
                return row
        return None

    def knows(self, key: str) -> bool:
        """Whether any row's pattern matches a key."""
        return any(re.fullmatch(row.pattern, key) for row in self.rows)

    def patterns(self) -> list[str]:
        """The patterns as people read them, each once."""
        return list(dict.fromkeys(row.pattern.replace('\\.', '.') for row in self.rows))


def nearest(key: str, known: Sequence[str]) -> str:
    """End of a line about a key: the known names nearest to it, if any are."""
    near = difflib.get_close_matches(key, known)
    return f'; nearest: {", ".join(near)}' if near else ''


def describe(
    keys: Iterable[str], tensors: dict[str, Tensor], known: Iterable[str]
) -> list[str]:
    """A line per key: name, shape and the known names nearest to it."""
    known = list(known)
    lines: list[str] = []
    for key in keys:
        # Comparing a thousand names with a thousand takes minutes: the first must do.
        hint = nearest(key, known) if len(lines) < 20 else ''
        lines.append(f'{key} {tuple(tensors[key].shape)}{hint}')
    return lines
