"""Subprocess workers: objects that are measured on a heap of their own.

A C library keeps or returns freed memory depending on all that a process has allocated
before. A network that makes large tensors may get fresh pages from the kernel at each
call, which can take as long as its arithmetic, or none, if an earlier network has made
the heap grow. In a process of its own it is timed as it would run alone.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any


class Isolated:
    """Subprocess worker: an object that another process builds and runs.

    Args:
        build: Makes the object; together with ``args`` it must be picklable, unless
            the process is forked.
        *args: Arguments of ``build``.
        method: How the process starts. ``'spawn'`` imports everything again;
            ``'fork'`` is quick, but safe only where no other thread runs.

    Raises:
        RuntimeError: If ``build`` fails, with its traceback.
    """

    def __init__(
        self, build: Callable[..., object], *args: Any, method: str = 'spawn'
    ) -> None:
        context: Any = multiprocessing.get_context(method)
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._pipe, build, args), daemon=True
        )
        self._process.start()
        theirs.close()
        self._answer()

    def ask(self, name: str, *args: Any) -> Any:
        """Result of a method of the object.

        Raises:
            RuntimeError: If the method fails, with its traceback, or the process died.
        """
        self._pipe.send((name, args))
        return self._answer()

    def _answer(self) -> Any:
        try:
            good, answer = self._pipe.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            raise RuntimeError(f'the process ended by itself, code {code}') from None
        if not good:
            raise RuntimeError(f'in the process:\n{answer}')
        return answer

    def __enter__(self) -> Isolated:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.is_alive():
            self._pipe.send(None)
        self._process.join()
        self._pipe.close()


def _serve(
    pipe: Connection, other_end: Connection, build: Callable[..., object], args: tuple
) -> None:
    """Build, report it, then answer until None comes or the other end is closed."""
    # Else the pipe would not end with the process that asks.
    other_end.close()

    def answer(call: Callable[[], object]) -> bool:
        try:
            pipe.send((True, call()))
        except Exception:
            pipe.send((False, traceback.format_exc()))
            return False
        return True

    made: list[Any] = []
    if not answer(lambda: made.append(build(*args))):
        return
    with suppress(EOFError):
        while (question := pipe.recv()) is not None:
            name, given = question
            answer(partial(_method, made[0], name, given))


def _method(made: Any, name: str, args: tuple) -> object:
    return getattr(made, name)(*args)
