"""Opcodes of pickles that try to run something, as attackers write them by hand.

All of them only try to make a file of one name in the present folder, or call something
that a file has no business to call.
"""

from __future__ import annotations

import struct
from collections.abc import Callable


def text(value: str) -> bytes:
    """A text in a pickle."""
    data = value.encode()
    return b'X' + struct.pack('<I', len(data)) + data


def call(name: str, *arguments: bytes) -> bytes:
    """Opcodes that call ``module.name`` with arguments."""
    module, _, attribute = name.rpartition(' ')
    return (
        f'c{module}\n{attribute}\n'.encode() + b'(' + b''.join(arguments) + b't' + b'R'
    )


def named(name: str) -> bytes:
    """Opcodes for ``module name``."""
    module, _, attribute = name.rpartition(' ')
    return f'c{module}\n{attribute}\n'.encode()


CANARY = 'canary-of-hostile-files'
TOUCH = f'touch {CANARY}'
RUN = f'open({CANARY!r}, "w").close()'
ARGV = b'(' + text('touch') + text(CANARY) + b't'
SYSTEM = call('os system', text(TOUCH))
GETATTR = 'builtins getattr'
HISTORY = 'mmengine.logging.history_buffer HistoryBuffer'
PAYLOADS: dict[str, bytes] = {
    **{
        f'{module}.system': call(f'{module} system', text(TOUCH))
        for module in ('os', 'posix', 'nt')
    },
    **{f'os.{n}': call(f'os {n}', text(CANARY)) for n in ('mkdir', 'popen', 'remove')},
    **{
        f'{module}.{name}': call(f'{module} {name}', text(RUN))
        for module in ('builtins', '__builtin__')
        for name in ('eval', 'exec', 'compile', '__import__')
    },
    'builtins.open': call('builtins open', text(CANARY), text('w')),
    'subprocess.Popen': call('subprocess Popen', ARGV),
    'subprocess.getoutput': call('subprocess getoutput', text(TOUCH)),
    'pty.spawn': call('pty spawn', ARGV),
    'runpy': call('runpy run_path', text(CANARY)),
    'importlib': call('importlib import_module', text('antigravity')),
    'pickle.loads': call('pickle loads', text('x')),
    'torch.load': call('torch load', text(CANARY)),
    'torch.hub': call('torch.hub load', text('a'), text('b')),
    'torch.save': call('torch save', b')', text(CANARY)),
    'shutil': call('shutil rmtree', text(CANARY)),
    'pathlib': call('pathlib Path', text(CANARY)),
    'getattr chain': call(
        GETATTR, call(GETATTR, named('builtins eval'), text('__self__')), text('exec')
    ),
    **{
        f'getattr of HistoryBuffer {name}': call(GETATTR, named(HISTORY), text(name))
        for name in ('__init__', '__subclasses__', '__globals__', '_set_default')
    },
    'getattr of os': call(GETATTR, named('os system'), text('__call__')) + b'('
    + text(TOUCH) + b'tR',
    'operator': call('operator attrgetter', text('system')),
    'methodcaller': call('operator methodcaller', text('system'), text(TOUCH)),
    'partial': call('functools partial', named('os system'), text(TOUCH)),
    'reconstructor': call(
        'copyreg _reconstructor', named('os system'), named('builtins object'), b'N'
    ),
    'numpy reconstruct': call(
        'numpy.core.multiarray _reconstruct', named('os system'), b')', text('b')
    ),
    'numpy scalar': call('numpy.core.multiarray scalar', named('os system'), text('a')),
    'numpy object dtype': call('numpy dtype', text('O8'), b'\x89', b'\x88'),
    'numpy load': call('numpy load', text(CANARY), b'N', b'\x88'),
    'instance': b'(' + text(TOUCH) + b'ios\nsystem\n',
    'object': b'(' + named('os system') + text(TOUCH) + b'o',
    'newobj': named('subprocess Popen') + b'(' + text(TOUCH) + b't\x81',
    'build': call('collections OrderedDict') + b'}' + text('__class__')
    + named('os system') + b'sb',
    'extension': b'\x82\x01',
    'persistent': text(TOUCH) + b'Q',
    'tensor of code': call('torch._utils _rebuild_tensor_v2', SYSTEM),
    'parameter of code': call('torch._utils _rebuild_parameter', SYSTEM),
    'stack global': text('os') + text('system') + b'\x93(' + text(TOUCH) + b'tR',
    'stack global name': text('builtins') + text('eval.__call__') + b'\x93('
    + text(RUN) + b'tR',
}  # fmt: skip


PLACES: dict[str, Callable[[bytes], bytes]] = {
    'alone': lambda code: code,
    'as weight': lambda code: b'}' + text('backbone.a') + code + b's',
    'in state_dict': lambda code: b'}' + text('state_dict') + b'}' + text('backbone.a')
    + code + b'ss',
    'thrown away': lambda code: code + b'0}',
}  # fmt: skip
