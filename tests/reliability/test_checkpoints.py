"""Hostile and broken checkpoints run nothing, end nothing and say what is wrong.

The files are read in a process of their own, so that a crash of the interpreter is
seen, under a limit of memory. An audit hook notes what reading must never do, besides
the file that every hostile pickle tries to make.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import resource
import signal
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import run_verb
from mmengine.logging import HistoryBuffer
from torch import nn

from mmpose_lite.checkpoints import read_checkpoint, translate

from .checkpoint_files import (
    BY_CHANCE,
    MUTATIONS,
    REFUSED_BY_READER,
    make,
    saved,
    weights,
    whole,
)
from .frame import cases
from .hostile_pickles import CANARY

SECTION = (3, 'Hostile and broken checkpoints')
GROWTH = 150_000
"""KiB by which reading one file may raise the peak of memory; bombs unpack to more."""
SPARE = 3 << 30
"""Bytes of address space beyond what the process has when it begins."""
EVENTS = []
FORBIDDEN = {
    *('os.system', 'subprocess.Popen', 'os.posix_spawn', 'os.exec', 'os.fork'),
    *('pty.spawn', 'os.mkdir', 'os.remove', 'os.rmdir', 'os.rename'),
    *('shutil.rmtree', 'socket.connect', 'webbrowser.open', 'ctypes.dlopen'),
}
OWN = re.compile(r'checkpoint\.pth is (refused: |damaged or no checkpoint \()')
CHECKED = ('weights', 'training', 'module')
KINDS: dict[str, list[str]] = {}
for _name in MUTATIONS:
    KINDS.setdefault(_name.partition('|')[0], []).append(_name)


def watch(event, arguments):
    """Note what reading a file must never do."""
    writes = (
        event == 'open'
        and isinstance(arguments[1], str)
        and (set(arguments[1]) & set('wax+'))
    )
    own = event in ('compile', 'import') and (
        CANARY in repr(arguments[0]) or arguments[0] == 'antigravity'
    )
    if event in FORBIDDEN or writes or own:
        EVENTS.append(f'{event} {arguments!r:.200}')


def digest(value):
    """One text for all contents that are the same, bit by bit."""
    found = hashlib.sha256()
    left = 100_000

    def add(part):
        nonlocal left
        left -= 1
        if left < 0:  # one list may be in another many times
            return
        if isinstance(part, torch.Tensor):
            data = part.contiguous().flatten().view(torch.uint8).numpy().tobytes()
            found.update(f'tensor {part.dtype} {tuple(part.shape)} '.encode() + data)
        elif isinstance(part, np.ndarray | np.generic):
            found.update(f'array {part.dtype} {part.shape} '.encode() + part.tobytes())
        elif isinstance(part, HistoryBuffer):
            add(list(part.data))
        elif isinstance(part, Mapping):
            found.update(b'map')
            for key in sorted(part, key=str):
                add(str(key))
                add(part[key])
        elif isinstance(part, list | tuple):
            found.update(f'list {len(part)} '.encode())
            for item in part:
                add(item)
        else:
            found.update(f'{type(part).__name__} {part!r} '.encode())

    add(value)
    return found.hexdigest()


def network():
    """A network that takes the whole weights."""
    net = nn.Module()
    for key, value in weights().items():
        *path, leaf = key.split('.')
        place = net
        for name in path:
            if name not in dict(place.named_children()):
                place.add_module(name, nn.Module())
            place = place.get_submodule(name)
        place.register_buffer(leaf, value.clone())
    return net


def attempt(path, net):
    """Read a file, then convert what it holds."""
    EVENTS.clear()
    begun, content = time.perf_counter(), None
    try:
        content = read_checkpoint(path)
    except BaseException as error:
        fact = dict(outcome='refused', by=type(error).__name__, message=str(error))
    else:
        fact = dict(outcome='loaded')
    fact |= dict(seconds=time.perf_counter() - begun, events=list(EVENTS))
    if content is not None:
        try:
            translate(content, net)
        except BaseException as error:
            fact |= dict(convert=type(error).__name__, message=str(error)[:10_000])
        else:
            fact['convert'] = 'done'
        try:
            fact['digest'] = digest(content)
        except RecursionError:
            fact['digest'] = 'too deep'
    return fact


def by_command(path):
    """What the command says, and whether it wrote a file."""
    target = path.with_name('converted.pth')
    target.unlink(missing_ok=True)
    try:
        ended = run_verb('convert', path, target)
        said = ended.err if ended.code else None
    except BaseException as error:
        said = f'TRACEBACK {error!r}'
    return dict(said=said, written=target.exists())


def read(names, folder):
    """Read files under a limit of memory, and write what became of each."""
    os.chdir(folder)  # where a hostile file makes its own
    net, path = network(), folder / 'checkpoint.pth'
    with Path('results.jsonl').open('a', buffering=1) as out:
        sys.addaudithook(watch)
        for name, data in whole().items():
            path.write_bytes(data)
            fact = dict(name=f'whole|{name}', **attempt(path, net), **by_command(path))
            print(json.dumps(fact), file=out)
        pages = int(Path('/proc/self/statm').read_text().split()[0])
        limit = pages * os.sysconf('SC_PAGE_SIZE') + SPARE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for place, name in enumerate(names):
            path.write_bytes(make(name))
            print(json.dumps(dict(begun=name)), file=out)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            fact = dict(name=name, **attempt(path, net))
            fact['grown'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            if place % 5 == 0:
                fact |= by_command(path)
            print(json.dumps(fact), file=out)


def read_all(names, folder):
    """What became of every file; a new process goes on where one has ended."""
    results = folder / 'results.jsonl'
    left, found, ended = list(names), {}, {}
    while left:
        process = multiprocessing.get_context('fork').Process(
            target=read, args=(left, folder)
        )
        process.start()
        process.join()
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        found = {line['name']: line for line in lines if 'name' in line}
        if process.exitcode:
            (*_, where) = (line['begun'] for line in lines if 'begun' in line)
            code = process.exitcode
            ended[where] = signal.Signals(-code).name if code < 0 else f'code {code}'
        left = [name for name in left if name not in found and name not in ended]
    assert not (folder / CANARY).exists(), 'a hostile file ran its code'
    return found, ended


def complaint(name, fact, legitimate):
    """What is wrong with what became of a file, or None."""
    kind, *rest = name.split('|')
    message = fact.get('message', '')
    if fact['events']:
        return f'it did {fact["events"]}'
    if fact['grown'] > GROWTH:
        return f'memory grew by {fact["grown"]} KiB'
    if fact['seconds'] > 30:
        return f'it took {fact["seconds"]:.0f} s'
    said = fact.get('said')
    if said and (not said.startswith('error: ') or fact['written']):
        return f'the command said {said}'
    if fact['outcome'] == 'refused':
        return refusal_complaint(kind, rest, fact['by'], message)
    if fact['convert'] not in ('done', 'ValueError'):
        return f'converting raised {fact["convert"]}: {message}'
    if kind in ('hostile', 'bomb', 'other') and fact['convert'] == 'done':
        return 'it was taken for weights'
    if kind == 'hostile':
        return 'it was read'
    if kind in BY_CHANCE and kind != 'pickle' and rest[0] in CHECKED:
        return None if fact['digest'] in legitimate else 'it was read as something else'
    if kind == 'wrong':
        if rest[0] in REFUSED_BY_READER:
            return 'it was read'
        if rest[1] not in message:
            return f'converting said {message or "nothing"}'
    return None


def refusal_complaint(kind, rest, by, message):
    """What is wrong with how a file was refused, or None."""
    own = OWN.search(message)
    if by != 'ValueError' or not own:
        return f'it raised {by}: {message}'
    reason = message[own.end() :].rstrip(')')
    if len(reason) < 5 or '\n' in reason:
        return f'it gave the reason {reason!r}'
    if kind == 'wrong' and rest[1] not in message:
        return f'it did not name {rest[1]}: {message}'
    return None


def test_damaged_files(campaign, tmp_path):
    """Thousands of files, of every kind its share."""
    names = [n for kind, some in KINDS.items() for n in campaign.choose(some, kind)]
    found, ended = read_all(names, tmp_path)
    taken = [fact for name, fact in found.items() if name.startswith('whole|')]
    assert all(fact['outcome'] == 'loaded' and not fact['events'] for fact in taken)
    assert all(fact['convert'] == 'done' and fact['written'] for fact in taken)
    legitimate = {fact['digest'] for fact in taken}
    complaints = [f'{name}: ended the process ({how})' for name, how in ended.items()]
    for name in names:
        if name in found:
            wrong = complaint(name, found[name], legitimate)
            if wrong is None:
                campaign.survived()
            else:
                complaints.append(f'{name}: {wrong}')
    worst = max(fact['grown'] for name, fact in found.items() if name in names)
    print(f'{len(names)} files, memory grew by at most {worst} KiB for one')
    listed = '\n'.join(complaints)
    assert not complaints, f'{len(complaints)} of {len(names)}:\n{listed}'


def test_there_are_thousands():
    """A thousand of Paddle's among them."""
    assert len(MUTATIONS) == len(set(MUTATIONS)) > 3000
    assert sum('pdparams' in name for name in MUTATIONS) > 1000


def test_flipped_weight_is_noticed_where_torch_notices_nothing(tmp_path):
    """The reason for comparing checksums."""
    data = bytearray(saved(weights()))
    path = tmp_path / 'flipped.pth'
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive:
        part = next(p for p in archive.infolist() if p.filename.endswith('data/0'))
    data[part.header_offset + len(part.filename) + 200] ^= 64
    path.write_bytes(data)
    read = torch.load(path, weights_only=True)
    assert any(not torch.equal(read[key], value) for key, value in weights().items())
    with pytest.raises(ValueError, match=r'flipped\.pth .*Bad CRC-32.*data/0'):
        read_checkpoint(path)


def test_weight_that_is_marked_as_a_folder_is_noticed(tmp_path):
    """Torch would take what was in memory for it; no checksum covers the mark."""
    data = bytearray(saved(weights()))
    entry = data.index(b'data/1', data.index(b'PK\x01\x02'))
    start = data.rindex(b'PK\x01\x02', 0, entry)
    data[start + 38] |= 0x10
    path = tmp_path / 'folder.pth'
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r'folder\.pth .*data/1 is marked as a folder'):
        read_checkpoint(path)


@cases(['nan', 'inf', '-inf'])
def test_what_is_not_finite_is_taken_on_request(case, tmp_path):
    content = weights()
    content['head.final_layer.bias'][3] = float(case)
    path = tmp_path / 'odd.pth'
    path.write_bytes(saved(dict(state_dict=content)))
    with pytest.raises(ValueError, match=r'state_dict/head\.final_layer\.bias; allow_'):
        read_checkpoint(path)
    taken = read_checkpoint(path, allow_nonfinite=True)['state_dict']
    assert torch.equal(taken['head.final_layer.bias'].isfinite(), torch.arange(17) != 3)


@cases({'folder': 'folder', 'absent': 'absent', 'device': 'device', 'pipe': 'pipe'})
def test_what_is_no_file(case, tmp_path):
    path = tmp_path / 'thing'
    if case == 'folder':
        path.mkdir()
    elif case == 'device':
        path.symlink_to('/dev/zero')
    elif case == 'pipe':
        os.mkfifo(path)
    with pytest.raises((OSError, ValueError), match='thing'):
        read_checkpoint(path)


def test_views_and_shared_tensors_are_taken(tmp_path):
    """What torch stores once, and small views of large tensors, are no bombs."""
    base = torch.randn(100, 100)
    content = dict(
        state_dict=dict(
            a=base, b=base, c=base[3:5], d=base.t(), e=base[:1].expand(7, -1)
        )
    )
    path = tmp_path / 'views.pth'
    path.write_bytes(saved(content))
    read = read_checkpoint(path)['state_dict']
    for key, value in content['state_dict'].items():
        assert torch.equal(read[key], value)
