"""Reads damaged checkpoints in a process of its own, with little memory.

Names of files come in as JSON, one line of JSON per file goes out: first that it is
begun, then what became of it. Who started the process so sees at which file it ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import numpy as np
import torch
from command_line import run_verb
from mmengine.logging import HistoryBuffer
from torch import nn

from mmpose_lite.checkpoints import read_checkpoint, translate

from .checkpoint_files import make, weights, whole
from .hostile_pickles import CANARY

SPARE = 3 << 30
"""Bytes of address space beyond what the process has when it begins."""
EVENTS: list[str] = []
_FORBIDDEN = ('os.system', 'subprocess.Popen', 'os.posix_spawn', 'os.exec', 'os.fork')
_FORBIDDEN += ('pty.spawn', 'os.mkdir', 'os.remove', 'os.rmdir', 'os.rename')
_FORBIDDEN += ('shutil.rmtree', 'socket.connect', 'webbrowser.open', 'ctypes.dlopen')


def watch(event: str, arguments: tuple) -> None:
    """Note what reading a file must never do."""
    writes = (
        event == 'open'
        and isinstance(arguments[1], str)
        and (set(arguments[1]) & set('wax+'))
    )
    own = event in ('compile', 'import') and (
        CANARY in repr(arguments[0]) or arguments[0] == 'antigravity'
    )
    if event in _FORBIDDEN or writes or own:
        EVENTS.append(f'{event} {arguments!r:.200}')


def digest(value: Any) -> str:
    """One text for all contents that are the same, bit by bit."""
    found = hashlib.sha256()
    left = [100_000]

    def add(part: Any) -> None:
        left[0] -= 1
        if left[0] < 0:  # one list may be in another many times
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


def model() -> nn.Module:
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


def attempt(path: Path, net: nn.Module) -> dict[str, Any]:
    """Read a file, then convert what it holds."""
    EVENTS.clear()
    begun = time.perf_counter()
    try:
        content = read_checkpoint(path)
    except BaseException as error:
        fact = dict(outcome='refused', by=type(error).__name__, message=str(error))
        content = None
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


def convert(path: Path) -> dict[str, Any]:
    """What the command says, and whether it wrote a file."""
    target = path.with_name('converted.pth')
    target.unlink(missing_ok=True)
    try:
        ended = run_verb('convert', path, target)
        said = ended.err if ended.code else None
    except BaseException as error:
        said = f'TRACEBACK {error!r}'
    return dict(said=said, written=target.exists())


def main() -> None:
    """Work through the names."""
    names = json.loads(Path('names.json').read_text())
    net = model()
    path = Path('checkpoint.pth').absolute()
    with Path('results.jsonl').open('a') as out:

        def tell(**facts: Any) -> None:
            out.write(json.dumps(facts) + '\n')
            out.flush()

        sys.addaudithook(watch)
        for name, data in whole().items():
            path.write_bytes(data)
            tell(name=f'whole|{name}', **attempt(path, net), **convert(path))
        pages = int(Path('/proc/self/statm').read_text().split()[0])
        limit = pages * os.sysconf('SC_PAGE_SIZE') + SPARE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for place, name in enumerate(names):
            path.write_bytes(make(name))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            tell(begun=name)
            fact = attempt(path, net)
            fact['grown'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            if place % 5 == 0:
                fact |= convert(path)
            tell(name=name, **fact)


if __name__ == '__main__':
    main()
