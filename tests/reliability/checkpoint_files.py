"""Checkpoint files, whole, damaged and hostile; each follows from its name alone.

``whole()`` makes the files that the others are damaged from, ``MUTATIONS`` names every
damaged one, and ``make(name)`` gives its bytes. So a worker needs only names, and a
failure can be repeated by its own.
"""

from __future__ import annotations

import copy
import functools
import gzip
import io
import json
import pickle
import pickletools
import random
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from .hostile_pickles import PAYLOADS, PLACES

BIG = 1 << 28
"""Bytes that a bomb claims or unpacks to."""


# --- whole files ---


def weights() -> OrderedDict:
    """Weights under our keys, of several types."""
    generator = torch.Generator().manual_seed(3)
    state = OrderedDict()
    for index in range(6):
        name = f'backbone.stage{index}.0.conv'
        state[f'{name}.weight'] = torch.randn(8, 4, 3, 3, generator=generator)
        state[f'{name}.bn.running_var'] = torch.rand(8, generator=generator)
        state[f'{name}.bn.num_batches_tracked'] = torch.tensor(17)
    # By this key Paddle's layout is known.
    stem = 'backbone.stem.conv1.bn'
    state[f'{stem}.running_var'] = torch.rand(4, generator=generator)
    state[f'{stem}.num_batches_tracked'] = torch.tensor(17)
    state['head.final_layer.weight'] = torch.randn(17, 8, 1, 1, generator=generator)
    state['head.final_layer.bias'] = torch.randn(17, generator=generator).half()
    return state


def training() -> dict:
    """What MMEngine writes: weights, optimizer, history, notes."""
    state = weights()
    history = HistoryBuffer([0.5, 0.25], [1, 1])
    return dict(
        meta=dict(epoch=2, iter=20, cfg="model = dict(type='X')", seed=0),
        state_dict=state,
        message_hub=dict(
            log_scalars={'train/loss': history}, runtime_info={'lr': np.float64(0.1)}
        ),
        optimizer=dict(
            state={0: dict(step=torch.tensor(20.0), exp_avg=torch.zeros(8, 4, 3, 3))},
            param_groups=[dict(lr=0.001, params=[0])],
        ),
    )


def saved(content: object, *, legacy: bool = False) -> bytes:
    """The bytes that ``torch.save`` writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def as_safetensors(content: dict[str, torch.Tensor]) -> bytes:
    """The format's bytes, written here: the package is optional."""
    names = {torch.float32: 'F32', torch.float16: 'F16', torch.int64: 'I64'}
    header, data = {}, b''
    for key, value in content.items():
        raw = value.numpy().tobytes()
        ends = [len(data), len(data) + len(raw)]
        header[key] = dict(
            dtype=names[value.dtype], shape=list(value.shape), data_offsets=ends
        )
        data += raw
    text = json.dumps(header).encode()
    return struct.pack('<Q', len(text)) + text + data


def as_pdparams(content: dict[str, torch.Tensor], protocol: int) -> bytes:
    """What ``paddle.save`` writes: arrays under Paddle's names and their table."""
    names = {
        key.replace('head.final_layer', 'final_conv')
        .replace('.bn.running_var', '.norm._variance'): value.numpy()
        for key, value in content.items()
        if 'num_batches' not in key
    }  # fmt: skip
    table = {key: f'conv2d_{index}.w_0' for index, key in enumerate(names)}
    return pickle.dumps({**names, 'StructuredToParameterName@@': table}, protocol)


@functools.cache
def whole() -> dict[str, bytes]:
    """Name to bytes of the files that the others are damaged from."""
    return {
        'weights': saved(weights()),
        'training': saved(training()),
        'module': saved({f'module.{key}': v for key, v in weights().items()}),
        'legacy': saved(training(), legacy=True),
        'safetensors': as_safetensors(weights()),
        'pdparams': as_pdparams(weights(), 4),
        'pdparams of protocol 2': as_pdparams(weights(), 2),
    }


# --- damage by chance ---


def cut(data: bytes, chance: random.Random) -> bytes:
    """The beginning of a file, most often up to the end of one of its parts."""
    places = [i for i in range(1, len(data)) if data[i : i + 2] in (b'PK', b'\x80\x02')]
    place = chance.choice(places or [1]) + chance.choice((0, 0, 1, 4, 30))
    anywhere = chance.randrange(len(data))
    return data[: min(place, len(data) - 1) if chance.random() < 0.5 else anywhere]


def flip(data: bytes, chance: random.Random) -> bytes:
    """One to eight bytes changed."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        changed[chance.randrange(len(data))] ^= chance.randint(1, 255)
    return bytes(changed)


def flip_directory(data: bytes, chance: random.Random) -> bytes:
    """Bytes changed where an archive lists its parts, or in its first part."""
    end = data.rfind(b'PK\x05\x06')
    start = struct.unpack('<I', data[end + 16 : end + 20])[0]
    where = range(start, len(data)) if chance.random() < 0.7 else range(400)
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        changed[chance.choice(where)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def shuffle(data: bytes, chance: random.Random) -> bytes:
    """A piece lost, zeroed, repeated, replaced by noise or moved."""
    start = chance.randrange(len(data))
    end = min(start + chance.choice((1, 16, 512, 4096)), len(data))
    piece = data[start:end]
    middle = {
        'lost': b'',
        'zero': bytes(len(piece)),
        'twice': piece + piece,
        'noise': chance.randbytes(len(piece)),
        'moved': data[: len(piece)],
    }[chance.choice(('lost', 'zero', 'twice', 'noise', 'moved'))]
    return data[:start] + middle + data[end:]


def pickled(data: bytes, chance: random.Random) -> bytes:
    """An archive, whole by its checksums, whose pickle has changed bytes."""
    parts = unzipped(data)
    name = next(name for name in parts if name.endswith('data.pkl'))
    parts[name] = flip(parts[name], chance)
    return zipped(parts)


def flip_opcodes(data: bytes, chance: random.Random) -> bytes:
    """Bytes of a pickle changed, those within its arrays spared."""
    starts = [place for _, _, place in pickletools.genops(data)]
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        place = chance.choice(starts) + chance.choice((0, 0, 1, 2, 5))
        changed[min(place, len(data) - 1)] = chance.choice(
            (chance.randrange(256), ord(chance.choice('(.}]Rbcst0Kh2NXB\x93\x94jr')))
        )
    return bytes(changed)


PADDLE = ('pdparams', 'pdparams of protocol 2')
ALL = ('weights', 'training', 'module', 'legacy', 'safetensors', *PADDLE)
BY_CHANCE: dict[str, tuple[Callable, int, tuple[str, ...]]] = {
    'cut': (cut, 90, ALL),
    'flip': (flip, 100, ALL),
    'opcode': (flip_opcodes, 300, PADDLE),
    'directory': (flip_directory, 80, ('weights', 'training')),
    'piece': (shuffle, 60, ('weights', 'training', 'legacy', 'safetensors', *PADDLE)),
    'pickle': (pickled, 150, ('weights', 'training')),
}


# --- weights that are wrong ---


def other_shape(value: torch.Tensor) -> torch.Tensor:
    return value.flatten()[:-1] if value.ndim else value.repeat(2)


WRONG: dict[str, Callable[[torch.Tensor], object]] = {
    'nan': lambda v: put(v, float('nan')),
    'inf': lambda v: put(v, float('inf')),
    '-inf': lambda v: put(v, float('-inf')),
    'half nan': lambda v: put(v, float('nan')).half(),
    'bfloat nan': lambda v: put(v, float('nan')).bfloat16(),
    'float8 nan': lambda v: put(v, float('nan')).to(torch.float8_e4m3fn),
    'complex nan': lambda v: torch.complex(put(v, float('nan')), v.float()),
    'shape': other_shape,
    'empty': lambda v: v.new_zeros(0),
    'scalar': lambda v: v.new_zeros(()),
    'more axes': lambda v: v[None],
    'text': lambda v: 'weights',
    'none': lambda v: None,
    'list': lambda v: v.tolist(),
    'array': lambda v: v.numpy(),
    'sparse': lambda v: v.to_sparse(),
    'meta': lambda v: v.to('meta'),
    'endless': lambda v: v.new_zeros(1).expand(BIG),
}
REFUSED_BY_READER = {
    *('nan', 'inf', '-inf', 'half nan', 'bfloat nan', 'float8 nan', 'complex nan'),
    *('sparse', 'meta', 'endless'),
}
FLOATS = [key for key, value in weights().items() if value.dtype == torch.float32]


def put(value: torch.Tensor, number: float) -> torch.Tensor:
    """A copy with one number in the middle."""
    changed = value.float().clone()
    changed.view(-1)[changed.numel() // 2] = number
    return changed


def with_wrong(kind: str, key: str, *, nested: bool) -> bytes:
    """Weights of which one is wrong."""
    content = training() if nested else weights()
    state = content['state_dict'] if nested else content
    state[key] = WRONG[kind](state[key])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return saved(content)


# --- bombs ---


def zipped(parts: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    """An archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', kind) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def unzipped(data: bytes) -> dict[str, bytes]:
    """Parts of an archive by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@functools.cache
def zeros(kind: int, size: int = BIG) -> bytes:
    """An archive that unpacks to zeros."""
    parts = unzipped(whole()['weights'])
    name = next(name for name in parts if name.endswith('data/0'))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', kind) as archive:
        for other, data in parts.items():
            if other != name:
                archive.writestr(other, data)
        with archive.open(name, 'w', force_zip64=True) as part:
            for _ in range(size >> 20):
                part.write(bytes(1 << 20))
    return buffer.getvalue()


def resized(factor: int, *, directory: bool) -> bytes:
    """An archive whose directory, or pickle, claims a larger tensor than there is."""
    data = whole()['weights']
    if directory:
        place = data.rfind(b'PK\x01\x02', 0, data.rfind(b'PK\x05\x06'))
        sizes = struct.pack('<II', *[min(2304 * factor, 2**32 - 1)] * 2)
        return data[: place + 20] + sizes + data[place + 28 :]
    parts = unzipped(data)
    name = next(name for name in parts if name.endswith('data.pkl'))
    count = struct.pack('<i', min(288 * factor, 2**31 - 1))
    parts[name] = parts[name].replace(b'M\x20\x01', b'J' + count, 1)
    return zipped(parts)


def overlapping(copies: int) -> bytes:
    """An archive whose directory names one part many times."""
    data = whole()['weights']
    end = data.rfind(b'PK\x05\x06')
    start = struct.unpack('<I', data[end + 16 : end + 20])[0]
    entry = data[data.rfind(b'PK\x01\x02', 0, end) : end]
    extra = entry * copies
    count = data.count(b'PK\x01\x02') + copies
    tail = struct.pack(
        '<IHHHHIIH', 0x06054B50, 0, 0, count % 65536, count % 65536,
        end - start + len(extra), start, 0,
    )  # fmt: skip
    return data[:end] + extra + tail


def laughing(depth: int) -> bytes:
    """A pickle of lists in lists, each ten times in the next."""
    value: list = []
    for _ in range(depth):
        value = [value] * 10
    return pickle_in_archive(pickle.dumps({'state_dict': value}, 2))


def nested(depth: int) -> bytes:
    """A pickle of lists in lists."""
    return pickle_in_archive(b'\x80\x02' + b']' * depth + b'a' * (depth - 1) + b'.')


def claiming(opcode: bytes, size: bytes) -> bytes:
    """A pickle whose text or bytes claim to be longer than the file."""
    return pickle_in_archive(b'\x80\x04' + opcode + size + b'abc.')


BOMBS: dict[str, Callable[[], bytes]] = {
    'deflated zeros': lambda: zeros(zipfile.ZIP_DEFLATED),
    # These take long to pack.
    'bzip2 zeros': lambda: zeros(zipfile.ZIP_BZIP2, BIG >> 4),
    'lzma zeros': lambda: zeros(zipfile.ZIP_LZMA, BIG >> 4),
    'gzip zeros': lambda: gzip.compress(bytes(1 << 24)) * 4,
    'zlib zeros': lambda: zlib.compress(bytes(1 << 24)),
    **{
        f'{where} times {factor}': functools.partial(
            resized, factor, directory=where == 'directory'
        )
        for where in ('directory', 'pickle')
        for factor in (2, 10, 1000, 10**6, 10**9)
    },
    **{f'overlap {n}': functools.partial(overlapping, n) for n in (1, 10, 1000, 9**5)},
    **{f'laughs {n}': functools.partial(laughing, n) for n in (5, 20, 200)},
    **{f'nested {n}': functools.partial(nested, n) for n in (100, 10**4, 10**6)},
    **{
        f'claim {opcode.decode("latin1")!r} {size.hex()}': functools.partial(
            claiming, opcode, size
        )
        for opcode, sizes in (
            (b'X', (b'\xff\xff\xff\x7f', b'\xff\xff\xff\xff')),
            (b'B', (b'\xff\xff\xff\x7f', b'\xff\xff\xff\xff')),
            (b'\x8d', (b'\xff' * 4 + b'\0' * 4, b'\xff' * 7 + b'\x7f')),
            (b'\x8e', (b'\xff' * 4 + b'\0' * 4, b'\xff' * 7 + b'\x7f')),
            (b'\x96', (b'\xff' * 4 + b'\0' * 4, b'\xff' * 7 + b'\x7f')),
            (b'\x8b', (b'\xff\xff\xff\x7f',)),
            (b'r', (b'\xff\xff\xff\x7f',)),
            (b'j', (b'\xff\xff\xff\x7f',)),
        )
        for size in sizes
    },
}


def bare(archive: Callable[[], bytes]) -> bytes:
    """The pickle of an archive alone, as Paddle's files are."""
    parts = unzipped(archive())
    return next(data for name, data in parts.items() if name.endswith('data.pkl'))


BOMBS |= {
    f'bare {name}': functools.partial(bare, archive)
    for name, archive in BOMBS.items()
    if name.startswith(('laughs', 'nested', 'claim'))
}


# --- containers of hostile pickles ---


def pickle_in_archive(data: bytes) -> bytes:
    """An archive as ``torch.save`` writes it, with this pickle."""
    parts = unzipped(whole()['weights'])
    name = next(name for name in parts if name.endswith('data.pkl'))
    return zipped({**parts, name: data})


def legacy_pickle(data: bytes) -> bytes:
    """A file of torch before 1.6 with this pickle in place of its content."""
    head = b''.join(
        pickle.dumps(value, 2)
        for value in (0x1950A86A20F9469CFC6C, 1001, dict(protocol_version=1001))
    )
    return head + data + pickle.dumps([], 2)


def tarred(data: bytes) -> bytes:
    """A file of torch before 0.2: a tar of pickles."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as archive:
        for name in ('storages', 'tensors', 'pickle', 'sys_info'):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    'archive': pickle_in_archive,
    'legacy': legacy_pickle,
    'bare': bytes,
    'tar': tarred,
}


# --- other files ---

OTHERS: dict[str, Callable[[], bytes]] = {
    'empty': lambda: b'',
    'one byte': lambda: b'P',
    'text': lambda: b'hello, weights\n' * 100,
    'html': lambda: b'<!DOCTYPE html><html><title>404</title></html>',
    'json': lambda: b'{"state_dict": {}}',
    'git lfs pointer': lambda: b'version https://git-lfs.github.com/spec/v1\n',
    'zeros': lambda: bytes(4096),
    'noise': lambda: random.Random(0).randbytes(4096),
    'png': lambda: b'\x89PNG\r\n\x1a\n' + bytes(100),
    'empty archive': lambda: zipped({}),
    'foreign archive': lambda: zipped({'readme.txt': b'hello'}),
    'two pickles': lambda: zipped({'a/data.pkl': b'N.', 'b/data.pkl': b'N.'}),
    'gzip': lambda: gzip.compress(whole()['weights']),
    'list': lambda: saved([1, 2]),
    'tensor': lambda: saved(torch.zeros(3)),
    'number': lambda: saved(3),
    'no weights': lambda: saved({}),
    'empty state_dict': lambda: saved(dict(state_dict={})),
    'empty safetensors': lambda: struct.pack('<Q', 2) + b'{}',
    'long safetensors header': lambda: struct.pack('<Q', 99_999_999) + b'{}',
    'safetensors of nobody': lambda: struct.pack('<Q', 8) + b'{"a": 1}',
}


def _names() -> list[str]:
    found = [
        f'{kind}|{base}|{index}'
        for kind, (_, count, bases) in BY_CHANCE.items()
        for base in bases
        for index in range(count)
    ]
    found += [
        f'wrong|{kind}|{key}|{where}'
        for kind in WRONG
        for key in FLOATS[::3]
        for where in ('bare', 'nested')
    ]
    found += [f'bomb|{name}' for name in BOMBS]
    found += [
        f'hostile|{payload}|{place}|{container}|{protocol}'
        for payload in PAYLOADS
        for place in PLACES
        for container in CONTAINERS
        for protocol in ((2, 4) if container != 'tar' else (2,))
    ]
    return found + [f'other|{name}' for name in OTHERS]


MUTATIONS = _names()


def make(name: str) -> bytes:
    """The bytes of a damaged file."""
    kind, *rest = name.split('|')
    if kind in BY_CHANCE:
        return BY_CHANCE[kind][0](whole()[rest[0]], random.Random(name))
    if kind == 'wrong':
        return with_wrong(rest[0], rest[1], nested=rest[2] == 'nested')
    if kind == 'hostile':
        payload, place, container, protocol = rest
        code = PLACES[place](copy.copy(PAYLOADS[payload]))
        return CONTAINERS[container](b'\x80' + bytes([int(protocol)]) + code + b'.')
    return {'bomb': BOMBS, 'other': OTHERS}[kind][rest[0]]()
