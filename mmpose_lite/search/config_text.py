"""Configs as text: read without running it, written so that people can read it."""

from __future__ import annotations

import ast
import keyword
import math
from collections.abc import Mapping
from typing import Any

WIDTH = 88
_INDENT = 4
# Keys in front of the others and behind them, as MMPose's files have them.
_FIRST = ('_delete_', 'type', 'batch_size', 'num_workers')
_LAST = ('sampler', 'dataset', 'pipeline', 'backbone', 'head', 'train_cfg', 'test_cfg')
_NUMBERS = {'inf': math.inf, 'nan': math.nan}


def read_config_text(text: str) -> dict[str, Any]:
    """Values of a dumped config, as MMEngine stores it in checkpoints.

    The text comes out of a file that anybody may have written, so nothing of it is run:
    assignments of literals and of ``dict(...)`` are all that it may hold.

    Args:
        text: What ``Config.pretty_text`` gave.

    Raises:
        ValueError: If there is anything else in it; the message names the line.
    """
    try:
        statements = ast.parse(text).body
    except SyntaxError as error:
        raise ValueError(f'the config text is no Python: {error}') from error
    values: dict[str, Any] = {}
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values[name] = _literal(value)
            case _:
                raise _refused(statement)
    return values


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Name(id='dict'), args=positional, keywords=pairs):
            found: dict = {}
            for given in positional:
                found.update(_literal(given))
            for pair in pairs:
                if pair.arg is None:
                    raise _refused(node)
                found[pair.arg] = _literal(pair.value)
            return found
        case ast.Dict(keys=keys, values=values):
            if None in keys:
                raise _refused(node)
            pairs_ = zip(keys, values, strict=True)
            return {_literal(k): _literal(v) for k, v in pairs_ if k is not None}
        case ast.List(elts=items):
            return [_literal(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_literal(item) for item in items)
        case ast.Set(elts=items):
            return {_literal(item) for item in items}
        case ast.Name(id=name) if name in _NUMBERS:
            return _NUMBERS[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_literal(operand)
        case ast.Constant(value=value):
            return value
    raise _refused(node)


def _refused(node: ast.stmt | ast.expr) -> ValueError:
    return ValueError(
        f'the config text has more than plain values in line {node.lineno}: '
        f'{ast.unparse(node)[:80]}'
    )


def without_scope(value: Any, scope: str) -> Any:
    """A copy in plain dicts, without MMEngine's notes of the scope ``scope``."""
    if isinstance(value, Mapping):
        return {
            key: without_scope(item, scope)
            for key, item in value.items()
            if (key, item) != ('_scope_', scope)
        }
    if isinstance(value, list | tuple):
        return type(value)(without_scope(item, scope) for item in value)
    return value


def difference(base: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """What a config with the base ``base`` must say to become ``value``."""
    if not set(base) <= set(value):
        return {'_delete_': True, **value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        if key in base and isinstance(item, Mapping):
            if not isinstance(base[key], Mapping):
                item = {'_delete_': True, **item}
            elif not (item := difference(base[key], item)):
                continue
        elif key in base and base[key] == item:
            continue
        found[key] = item
    return found


def format_assignment(name: str, value: Any, known: Mapping[str, Any]) -> str:
    """One statement of a config.

    Args:
        name: What is assigned.
        value: Numbers, texts, None, lists, tuples and dicts.
        known: Names of the config above; a part that equals one of their values is
            written as that name.
    """
    lead = f'{name} = '
    return lead + _format(value, known, 0, len(lead))


def _format(value: Any, known: Mapping[str, Any], indent: int, lead: int) -> str:
    """Text of a value that begins at column ``lead`` of a line at ``indent``."""
    for name, other in known.items():
        if type(value) is type(other) and value == other:
            return name
    if not isinstance(value, Mapping | list | tuple) or not value:
        return 'dict()' if value == {} else _number_or_repr(value)
    inner = indent + _INDENT
    if isinstance(value, Mapping):
        plain = all(_is_argument(key) for key in value)
        left, right = ('dict(', ')') if plain else ('{', '}')
        heads = [f'{key}=' if plain else f'{key!r}: ' for key in _ordered(value)]
        items = [value[key] for key in _ordered(value)]
    else:
        left, right = '[]' if isinstance(value, list) else '()'
        heads, items = [''] * len(value), list(value)
    parts = [
        head + _format(item, known, inner, inner + len(head))
        for head, item in zip(heads, items, strict=True)
    ]
    single = ',' if isinstance(value, tuple) and len(value) == 1 else ''
    flat = left + ', '.join(parts) + single + right
    if '\n' not in flat and lead + len(flat) + 1 <= WIDTH:  # 1 for a comma
        return flat
    pad = ' ' * inner
    lines = ''.join(f'{pad}{part},\n' for part in parts)
    return f'{left}\n{lines}{" " * indent}{right}'


def _number_or_repr(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    return repr(value)


def _is_argument(key: object) -> bool:
    return isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key)


def _ordered(value: Mapping[str, Any]) -> list[str]:
    """Keys as MMPose's files order them; the others stay as they are."""
    first = [key for key in _FIRST if key in value]
    last = [key for key in _LAST if key in value]
    return first + [key for key in value if key not in first + last] + last
