"""The record of a format, chosen once by an export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ..runtime import Contract, Session, extra, open_engine
from ..runtime.contract import FORMATS

Files = dict[str, bytes]
"""Suffix to content."""


@dataclass(frozen=True)
class Backend:
    """A format, and all that an export asks of it.

    Attributes:
        name: Of the format.
        needs: Packages that writing and running it takes.
        target: What networks are optimized for, see
            :func:`mmpose_lite.deploy.optimize`.
        write: From a network of images ``(B, 3, H, W)`` and its contract to the files.
        precisions: What weights may be stored in.
        any_batch: Whether a model may take batches of any size.
        as_trained: Whether networks need not be optimized.
    """

    name: str
    needs: tuple[str, ...]
    target: str
    write: Callable[[nn.Module, Contract], Files]
    precisions: tuple[str, ...] = ('fp32', 'fp16')
    any_batch: bool = True
    as_trained: bool = True

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of its files; users name the file with the first."""
        return FORMATS[self.name]

    def check(self, precision: str, batch: int | None, optimized: bool) -> None:
        """Check that the format takes these options.

        Raises:
            ValueError: If not; the message names the argument.
        """
        if precision not in self.precisions:
            raise ValueError(
                f'precision must be one of {self.precisions} for the format '
                f'{self.name}, got {precision!r}'
            )
        if batch is None and not self.any_batch:
            raise ValueError(
                f"batch must be a number for the format {self.name}, not 'dynamic'"
            )
        if not (optimized or self.as_trained):
            raise ValueError(
                f'optimized must be True for the format {self.name}, got {optimized!r}'
            )

    def versions(self) -> dict[str, str]:
        """Versions of the packages that it needs.

        Raises:
            ImportError: If one is missing; the message says how to get it.
        """
        return {name: str(extra(name).__version__) for name in self.needs}

    def open(self, files: Files) -> Session:
        """A model in the format's own engine."""
        return open_engine(files)
