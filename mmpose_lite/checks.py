"""Rules for arguments, and the one way in which they refuse.

A constructor's signature says what it takes, and a rule where that is not enough::

    @checked(mode=one_of('sum', 'mean'))
    def __init__(self, width: int, mode: str = 'sum') -> None: ...

With ``width='4'`` it raises ``ValueError: Name: width must be a whole number of at
least 1, got '4'``, with ``widht=4`` ``TypeError: Name got the unknown argument
widht=4 (did you mean width?); it takes width, mode``. What several arguments must be
together is left to the constructor itself.

By annotation a ``bool`` is true or false, an ``int`` a count of at least 1, a ``float``
a number of at least 0, a ``tuple`` a list of such; ``| None`` allows None, too.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
import numbers
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

F = TypeVar('F', bound=Callable[..., None])
R = TypeVar('R')
_LONGEST = 400
_ERRORS = (AssertionError, KeyError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Rule:
    """What a value must be.

    Attributes:
        wanted: Ends the sentence "... must be".
        holds: What it raises is given as the reason.
    """

    wanted: str
    holds: Callable[[Any], bool]

    def problem(self, value: Any) -> str | None:
        """None where the value is as wanted, else the reason, which may be empty."""
        try:
            return None if self.holds(value) else ''
        except ValueError as error:
            return str(error)
        except Exception as error:
            return f'{type(error).__name__}: {error}'

    def __or__(self, other: Rule) -> Rule:
        """Either of two rules."""

        def holds(value: Any) -> bool:
            reasons = self.problem(value), other.problem(value)
            if None in reasons:
                return True
            raise ValueError(next(filter(None, reasons), ''))

        return Rule(f'{self.wanted} or {other.wanted}', holds)


def check(name: str, value: Any, rule: Rule) -> None:
    """Refuse a value that is not as a rule wants it.

    Raises:
        ValueError: If it is not (the message gives name, rule, value and reason).
    """
    reason = rule.problem(value)
    if reason is not None:
        reason = f' ({reason})' if reason else ''
        raise ValueError(f'{name} must be {rule.wanted}, got {shown(value)}{reason}')


def shown(value: Any) -> str:
    """A value as messages show it."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f'{text[:_LONGEST]}…'


def check_arguments(
    owner: str, rules: Mapping[str, Rule], given: Iterable[tuple[str, Any]]
) -> None:
    """Check arguments by name; an unknown one is a ``TypeError``."""
    for name, value in given:
        if name not in rules:
            near = difflib.get_close_matches(name, rules, 1)
            hint = f' (did you mean {near[0]}?)' if near else ''
            raise TypeError(
                f'{owner} got the unknown argument {name}={shown(value)}{hint}; it '
                f'takes {", ".join(rules) or "none"}'
            )
        check(f'{owner}: {name}', value, rules[name])


def rules_of(function: Callable[..., Any], **own: Rule) -> dict[str, Rule]:
    """Rules of all arguments of a constructor, in their order.

    Args:
        **own: Rules of arguments of which annotation (else the default) tells too
            little, and of those that go on to a base class.

    Raises:
        TypeError: If an argument has no rule.
    """
    rules: dict[str, Rule] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name == 'self' or parameter.kind.name.startswith('VAR'):
            continue
        kind = parameter.annotation
        if kind is parameter.empty:
            kind = type(parameter.default).__name__
        rule = own.get(name) or _by_annotation(kind)
        if rule is None:
            raise TypeError(f'{function.__qualname__}: {name} needs a rule')
        rules[name] = rule
    return {**rules, **own}


def _by_annotation(kind: str) -> Rule | None:
    """Rule of an annotation such as ``'tuple[int, ...]'``; None if it tells nothing."""
    base = kind.removesuffix(' | None')
    outer, _, inner = base.removesuffix(']').partition('[')
    if outer in ('tuple', 'Sequence'):
        parts = inner.split(', ')
        fixed = len(parts) if set(parts) == {parts[0]} and outer == 'tuple' else None
        entry = _by_annotation(parts[0] if fixed else inner.removesuffix(', ...'))
        rule = None if entry is None else each(entry, fixed)
    else:
        rule = _PLAIN.get(outer)
    return NOTHING | rule if rule is not None and base != kind else rule


def checked(**own: Rule) -> Callable[[F], F]:
    """Decorator of a constructor: refuse arguments before it runs.

    ``own`` is as of :func:`rules_of`, in order where arguments go on through ``*args``.
    """

    def decorate(init: F) -> F:
        rules = rules_of(init, **own)
        parameters = list(inspect.signature(init).parameters.values())[1:]
        names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            names = list(own)

        @functools.wraps(init)
        def checking(self: Any, *args: Any, **kwargs: Any) -> None:
            given = [*zip(names, args, strict=False), *kwargs.items()]
            check_arguments(type(self).__name__, rules, given)
            init(self, *args, **kwargs)

        checking.rules = rules  # type: ignore[attr-defined]
        return checking  # type: ignore[return-value]

    return decorate


def check_fields(name: str, record: Any, **own: Rule) -> None:
    """Refuse a field of a dataclass that is not as annotation or own rule wants it.

    Lists in its fields become tuples.
    """
    for field, rule in rules_of(type(record), **own).items():
        value = getattr(record, field)
        check(f'{name} {field}', value, rule)
        object.__setattr__(record, field, _as_tuples(value))


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value


def record_of(
    name: str, kind: type[R], given: Any, table: Mapping[str, R], hint: str = ''
) -> R:
    """The row of a table that a text names, or a dataclass of a dict's values.

    Raises:
        ValueError: If a name, key or value is not allowed, or a key is missing; the
            message ends in ``hint``.
    """
    if isinstance(given, str):
        check(name, given, one_of(*table))
        return table[given]
    known = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore
    if not isinstance(given, Mapping) or not known.keys() >= set(given):
        rows = f'one of {list(table)} or ' if table else ''
        raise ValueError(
            f'{name} must be {rows}a dict with keys among {list(known)}, got '
            f'{shown(given)}{hint}'
        )
    required = [key for key in known if known[key].default is dataclasses.MISSING]
    if missing := [key for key in required if key not in given]:
        raise ValueError(f'{name} lacks {missing}, got {shown(given)}{hint}')
    return kind(**given)


@contextmanager
def blaming(name: str, value: Any) -> Iterator[None]:
    """Raise ``ValueError`` with the name of what another package refused."""
    try:
        yield
    except _ERRORS as error:
        kind = '' if isinstance(error, ValueError) else f'{type(error).__name__}: '
        raise ValueError(
            f'{name} must be something to build from, got {shown(value)}: {kind}{error}'
        ) from error


ANY = Rule('anything', lambda value: True)
"""For what the constructor reads, and refuses, by itself."""
NOTHING = Rule('None', lambda value: value is None)
FLAG = Rule('True or False', lambda value: isinstance(value, bool))
TEXT = Rule('a text', lambda value: isinstance(value, str))
PATH = Rule('a path', lambda value: isinstance(value, str | os.PathLike))
MAPPING = Rule('a dict', lambda value: isinstance(value, Mapping))


def whole(least: int | None = None, most: int | None = None) -> Rule:
    """A whole number in a range; True and False are none."""
    return _ranged('a whole number', numbers.Integral, least, most)


def number(
    least: float | None = None,
    most: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> Rule:
    """A finite number in a range; True and False are none."""
    return _ranged('a number', numbers.Real, least, most, above, below)


_LIMITS = {
    'at least': operator.ge,
    'at most': operator.le,
    'above': operator.gt,
    'below': operator.lt,
}


def _ranged(wanted: str, kind: Any, *limits: float | None) -> Rule:
    given = [
        (name, limit)
        for name, limit in zip(_LIMITS, limits, strict=False)
        if limit is not None
    ]
    parts = ' and '.join(f'{name} {limit}' for name, limit in given)

    def holds(value: Any) -> bool:
        return (
            isinstance(value, kind)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and all(_LIMITS[name](value, limit) for name, limit in given)
        )

    return Rule(f'{wanted} of {parts}' if parts else wanted, holds)


def one_of(*allowed: Any) -> Rule:
    """One of some values, of the same type."""
    return Rule(
        f'one of {allowed}',
        lambda value: any(type(value) is type(a) and value == a for a in allowed),
    )


def each(rule: Rule, count: int | None = None, *, least: int = 0) -> Rule:
    """A list or tuple of ``count`` (else at least ``least``) entries after a rule."""
    length = '' if count is None else f' of {count}'
    if least:
        length = f' of at least {least}'

    def holds(value: Any) -> bool:
        if isinstance(value, str) or not isinstance(value, Sequence):
            return False
        for place, entry in enumerate(value):
            if (reason := rule.problem(entry)) is not None:
                raise ValueError(f'entry {place} is not' + f': {reason}' * bool(reason))
        return len(value) == count if count is not None else len(value) >= least

    return Rule(f'a list{length}, each {rule.wanted}', holds)


def config_of(find: Callable[[str], Any], what: str) -> Rule:
    """A config whose ``type`` is known, that is, for which ``find`` gives not None."""

    def holds(value: Any) -> bool:
        if not isinstance(value, Mapping):
            return False
        if 'type' not in value:
            raise ValueError('it has no type')
        kind = value['type']
        if isinstance(kind, str) and find(kind) is None:
            raise ValueError(f'there is no {kind!r}')
        return isinstance(kind, str) or callable(kind)

    return Rule(f'a dict with the type of {what}', holds)


_PLAIN = {
    'Mapping': MAPPING,
    'bool': FLAG,
    'dict': MAPPING,
    'float': number(0),
    'int': whole(1),
    'str': TEXT,
}
