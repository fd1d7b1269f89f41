"""Report versions and builds of everything that matters here, for a bug report.

Every line is found out on its own, so that what is missing or broken shows as such.

  mmpose-lite env
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import re
import sys
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

from .. import __version__, compat
from ..paths import PACKAGE, config_root

_PACKAGES = (
    *('torchvision', 'mmcv', 'mmengine', 'mmdet', 'mmpose', 'mim', 'numpy', 'cv2'),
    'xtcocotools',
)
_ENGINES = (
    *('onnx', 'onnxruntime', 'openvino', 'ai_edge_litert', 'tensorflow', 'ncnn'),
    *('MNN', 'tensorrt'),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: everything is reported."""


def run(args: argparse.Namespace) -> None:
    """Print the report."""
    print(report())


def report() -> str:
    """The whole report: one line per fact, in sections."""
    sections: dict[str, dict[str, Callable[[], str]]] = {
        'mmpose_lite': {
            'version': lambda: f'{__version__} in {PACKAGE}',
            'configs': _configs,
            'models': _models,
            'versions': _versions,
        },
        'machine': {
            'python': lambda: f'{platform.python_version()}, {sys.executable}',
            'system': platform.platform,
            'cpu': _cpu,
        },
        'packages': {
            'torch': _torch,
            **{name: partial(_package, name) for name in _PACKAGES},
            'torchvision ops': _torchvision_ops,
            'mmcv ops': _mmcv_ops,
        },
        'inference engines': {name: partial(_package, name) for name in _ENGINES},
        'patched': {name: partial(_patched, name) for name in compat.PATCHES},
    }
    lines = []
    for title, facts in sections.items():
        lines.append(f'{title}:')
        lines += [f'  {name:<16} {_ask(fact)}' for name, fact in facts.items()]
    return '\n'.join(lines)


def _ask(fact: Callable[[], str]) -> str:
    """What ``fact`` answers, or the first line of how it failed; nothing else shown."""
    try:
        # Extensions that fail to load write tracebacks of their own.
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter('ignore')
            return fact()
    except Exception as error:
        first = (str(error).splitlines() or [''])[0]
        return f'BROKEN: {type(error).__name__}: {first}'


def _package(module: str) -> str:
    """Version of a package after really importing it."""
    if find_spec(module) is None:
        return 'not installed'
    imported = import_module(module)
    for name in packages_distributions().get(module, ()):
        return version(name) + ('' if name == module else f' ({name})')
    return str(getattr(imported, '__version__', 'installed, version unknown'))


def _configs() -> str:
    root = config_root()
    configs = [path for path in root.rglob('*.py') if path.parent.name[0] != '_']
    return f'{len(configs)} in {root}'


def _models() -> str:
    if find_spec('mmpose') is None:
        return 'not registered: MMPose is not installed'
    from .. import models, training  # noqa: F401  (imported for their registrations)
    from ..registry import MODELS

    return ', '.join(sorted(MODELS.module_dict)) or 'none registered'


def _versions() -> str:
    compat.check_versions()
    return 'supported'


def _patched(name: str) -> str:
    return compat.RECORD.get(name, 'not needed: its package is missing')


def _cpu() -> str:
    info = Path('/proc/cpuinfo')
    text = info.read_text(encoding='utf-8') if info.is_file() else ''
    found = re.search(r'model name\s*: (.*)', text)
    name = found[1] if found else platform.processor() or platform.machine()
    threads = os.environ.get('OMP_NUM_THREADS', 'not set')
    return f'{name}, {os.cpu_count()} cores, OMP_NUM_THREADS {threads}'


def _torch() -> str:
    if find_spec('torch') is None:
        return 'not installed'
    import torch

    build = 'CPU build'
    if torch.version.cuda is not None:
        build = f'built for CUDA {torch.version.cuda}'
    elif getattr(torch.version, 'hip', None) is not None:
        build = f'built for ROCm {torch.version.hip}'
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    seen = ', '.join(devices) or 'no GPU seen'
    return f'{torch.__version__}, {build}, {seen}, {torch.get_num_threads()} threads'


def _torchvision_ops() -> str:
    if find_spec('torchvision') is None:
        return 'not installed'
    from torchvision.extension import _has_ops

    if _has_ops():
        return 'work'
    return 'do not load (not needed here; its build is not the partner of torch)'


def _mmcv_ops() -> str:
    if find_spec('mmcv') is None:
        return 'not installed'
    from mmcv.ops import get_compiler_version, get_compiling_cuda_version

    compiler, cuda = get_compiler_version(), get_compiling_cuda_version()
    if compiler == 'n/a':
        return 'none compiled, see operators below'
    return f'compiled with {compiler}, CUDA {cuda}'
