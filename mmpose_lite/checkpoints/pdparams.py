"""Paddle's ``.pdparams``: pickled arrays by name, read by stand-ins.

``paddle.save`` pickles a dict of numpy arrays (protocols 2 to 4). No function of numpy
that a file names is called: inert stand-ins note what it says of an array, and its
bytes become a tensor where they are exactly as many as its shape and type ask for.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import pickletools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .damage import DamagedError, OtherFileError

_TORCH_BEFORE_1_6 = b'\x80\x02\x8a\x0a'
_NAME_TABLE = 'StructuredToParameterName@@'
_CUT_ARRAYS = 'UnpackBigParamInfor@@'
# Paddle has no numpy type for bfloat16 and writes its bits.
_DTYPES = {
    'f2': torch.float16,
    'u2': torch.bfloat16,
    'f4': torch.float32,
    'f8': torch.float64,
}
# All that paddle.save needs in its protocols; whatever else begins a file is no such.
_OPCODES = frozenset(
    (
        *('PROTO', 'FRAME', 'STOP', 'MARK', 'EMPTY_DICT', 'EMPTY_LIST', 'EMPTY_TUPLE'),
        *('TUPLE', 'TUPLE1', 'TUPLE2', 'TUPLE3', 'APPEND', 'APPENDS', 'SETITEM'),
        *('SETITEMS', 'MEMOIZE', 'BINPUT', 'LONG_BINPUT', 'BINGET', 'LONG_BINGET'),
        *('GLOBAL', 'STACK_GLOBAL', 'REDUCE', 'BUILD', 'NONE', 'NEWTRUE', 'NEWFALSE'),
        *('BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT', 'SHORT_BINUNICODE'),
        *('BINUNICODE', 'BINUNICODE8', 'SHORT_BINBYTES', 'BINBYTES', 'BINBYTES8'),
        *('SHORT_BINSTRING', 'BINSTRING'),
    )
)


def is_pdparams(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as Paddle's pickles do."""
    with open(path, 'rb') as file:
        start = file.read(4)
    pickled = start[:1] == b'\x80' and start[1:2] in (b'\x02', b'\x03', b'\x04')
    return pickled and start != _TORCH_BEFORE_1_6


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Weights by Paddle's keys, on the CPU.

    Where a file has other entries beside its weights, or nests them, it is
    ``{'state_dict': weights, …}`` with the others as they are.

    Raises:
        DamagedError: If it is damaged, or holds no weights that can be named (static
            graph, optimizer state, arrays cut into pieces).
        pickle.UnpicklingError: If it asks for anything but arrays (the message names
            what).
    """
    data = Path(path).read_bytes()
    _check_opcodes(data)
    # Paddle itself reads text of protocol 2 so.
    content = _Unpickler(io.BytesIO(data), encoding='latin1').load()
    if not isinstance(content, dict):
        raise DamagedError(f'it holds a {type(content).__name__} and no named weights')
    if _CUT_ARRAYS in content:
        raise OtherFileError('its arrays are cut into pieces, which is not supported')
    content.pop(_NAME_TABLE, None)
    weights = {key: array for key, array in content.items() if _is_array(array)}
    others = {key: value for key, value in content.items() if key not in weights}
    nested = [key for key, value in others.items() if isinstance(value, Mapping)]
    if not weights and len(nested) == 1:
        weights = {k: v for k, v in others.pop(nested[0]).items() if k != _NAME_TABLE}
    _check_names(weights, others)
    tensors = {key: _tensor(key, value) for key, value in weights.items()}
    return {'state_dict': tensors, **others} if others else tensors


def _check_opcodes(data: bytes) -> None:
    """Refuse a pickle that needs more than arrays do, before any of it is run."""
    try:
        for opcode, argument, place in pickletools.genops(data):
            position = place or 0
            if opcode.name not in _OPCODES:
                raise DamagedError(f'its pickle holds {opcode.name} at {position}')
            # The unpickler makes room for as many objects as the highest place.
            if opcode.name == 'LONG_BINPUT' and int(argument or 0) > position:
                raise DamagedError(f'its pickle puts an object at place {argument}')
        if position + 1 < len(data):
            raise DamagedError(f'{len(data) - position - 1} bytes follow its pickle')
    except DamagedError:
        raise
    except ValueError as error:  # pickletools' word for whatever does not add up
        raise DamagedError(f'its pickle is broken: {error}') from error


def _check_names(weights: Mapping[Any, Any], others: Mapping[Any, Any]) -> None:
    """Refuse what holds no weights of named layers, and say what it is."""
    keys = [str(key) for key in weights]
    if 'LR_Scheduler' in others or any(re.search(r'_moment\d_\d+$', k) for k in keys):
        raise OtherFileError('it holds the state of an optimizer (.pdopt), not weights')
    if keys and all(re.fullmatch(r'\w+_\d+\.[wb]_\d+', key) for key in keys):
        raise OtherFileError(
            f'it was saved from a static graph, where the names of layers are lost '
            f'({keys[0]})'
        )
    if not keys:
        raise OtherFileError('it holds no weights')


class _Dtype:
    """What a file says of an array's type."""

    def __init__(self, code: object, align: object = False, copy: object = False):
        if not isinstance(code, str) or not re.fullmatch('[fiu][1248]', code):
            raise DamagedError(f'it holds an array of type {code!r}')
        self.code = code

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ('<', '|'):
            raise DamagedError(f'it holds an array of byte order {order!r}')


class _Array:
    """What a file says of an array: its type, shape and bytes."""

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise DamagedError('it holds an array without type, shape and bytes')
        _, self.shape, self.dtype, self.columns_first, self.data = state

    def tensor(self) -> Tensor:
        shape, data = self.shape, self.data
        if not isinstance(self.dtype, _Dtype) or self.dtype.code not in _DTYPES:
            code = getattr(self.dtype, 'code', self.dtype)
            raise DamagedError(f'is of type {code!r}; allowed: {list(_DTYPES)}')
        if not isinstance(shape, tuple) or not all(
            type(size) is int and size >= 0 for size in shape
        ):
            raise DamagedError(f'has the shape {shape!r}')
        expected = math.prod(shape) * int(self.dtype.code[1])
        if not isinstance(data, bytes) or len(data) != expected:
            found = len(data) if isinstance(data, bytes) else type(data).__name__
            raise DamagedError(f'has {found} bytes, {shape} needs {expected}')
        dtype = _DTYPES[self.dtype.code]
        if not data:
            return torch.empty(shape, dtype=dtype)
        flat = torch.frombuffer(bytearray(data), dtype=dtype)
        if self.columns_first is True:
            turned = flat.reshape(shape[::-1])
            return turned.permute(*reversed(range(len(shape)))).contiguous()
        return flat.reshape(shape)


_NDARRAY = object()  # stands for the class, which nobody can call


def _begin_array(kind: object, shape: object, code: object) -> _Array:
    if kind is not _NDARRAY or shape != (0,):
        raise DamagedError(f'it begins an array of {kind!r} with the shape {shape!r}')
    return _Array()


def _encode(text: object, encoding: object) -> bytes:
    """Bytes, as protocol 2 has to write them."""
    if not isinstance(text, str) or encoding != 'latin1':
        raise DamagedError(f'it encodes text as {encoding!r}; allowed: latin1')
    return text.encode('latin1')


def _no_bytes(*values: object) -> bytes:
    """The content of an array without elements, as protocol 2 has to write it."""
    if values:
        raise DamagedError(f'it makes bytes of {values!r}')
    return b''


_GLOBALS: dict[tuple[str, str], object] = {
    ('numpy.core.multiarray', '_reconstruct'): _begin_array,
    ('numpy._core.multiarray', '_reconstruct'): _begin_array,
    ('numpy', 'ndarray'): _NDARRAY,
    ('numpy', 'dtype'): _Dtype,
    ('collections', 'OrderedDict'): dict,
    ('builtins', 'tuple'): tuple,
    ('__builtin__', 'tuple'): tuple,
    ('builtins', 'bytes'): _no_bytes,
    ('__builtin__', 'bytes'): _no_bytes,
    ('_codecs', 'encode'): _encode,
}


class _Unpickler(pickle.Unpickler):
    """Knows the stand-ins and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _GLOBALS:
            raise pickle.UnpicklingError(f'Unsupported global: {module}.{name}')
        return _GLOBALS[module, name]

    def persistent_load(self, pid: object) -> Any:
        raise pickle.UnpicklingError(f'Unsupported global: persistent id {pid!r}')


def _is_array(value: object) -> bool:
    """Whether a value is an array, or Paddle's pair of an internal name and one."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    return isinstance(value, _Array)


def _tensor(key: object, value: Any) -> Tensor:
    if not isinstance(key, str) or not _is_array(value):
        raise DamagedError(f'{key!r} is no named array but a {type(value).__name__}')
    array: _Array = value[1] if isinstance(value, tuple) else value
    try:
        return array.tensor()
    except DamagedError as error:
        raise DamagedError(f'{key} {error}') from None
    except AttributeError:
        raise DamagedError(f'{key} has no type, shape and bytes') from None
