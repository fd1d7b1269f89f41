"""Report versions and builds of everything that matters here, for a bug report.

Every line is found out on its own, so that what is missing or broken shows as such; the
last lines install it.

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
    'torchvision', 'mmcv', 'mmengine', 'mmdet', 'mmpose', 'mim', 'numpy', 'cv2',
    'xtcocotools',
)  # fmt: skip
_ENGINES = (
    'onnx', 'onnxruntime', 'openvino', 'ai_edge_litert', 'tensorflow', 'ncnn', 'MNN',
    'tensorrt',
)  # fmt: skip

# What pip installs for models of MMPose, in this order → modules that show its absence.
_INSTALLS = {
    'torch torchvision': ('torch', 'torchvision'),
    "'mmpose_lite[pose]'": (
        *('yaml', 'numpy', 'cv2', 'mmengine', 'pycocotools', 'matplotlib', 'scipy'),
        *('shapely', 'munkres', 'json_tricks', 'addict', 'modelindex', 'pandas'),
    ),
    '--no-deps mmcv-lite==2.1.0 mmdet==3.3.0 mmpose==1.3.2 openmim==0.3.9': (
        *('mmcv', 'mmdet', 'mmpose', 'mim'),
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: everything is reported."""


def run(args: argparse.Namespace) -> None:
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
        'machine': {'python': _python, 'system': platform.platform, 'cpu': _cpu},
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
    if mends := _mends():
        lines += ['to install:', *(f'  pip install {mend}' for mend in mends)]
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
    if compat.RECORD.get(module, '').startswith('patched'):
        return 'not installed, or does not load; see below'
    for name in packages_distributions().get(module, ()):
        return version(name) + ('' if name == module else f' ({name})')
    return str(getattr(imported, '__version__', 'installed, version unknown'))


def _mends() -> list[str]:
    """What pip installs in place of what is missing, broken or of another version."""
    absent = {
        what: [module for module in modules if find_spec(module) is None]
        for what, modules in _INSTALLS.items()
    }
    mends = [f'{what}  # {", ".join(m)} missing' for what, m in absent.items() if m]
    if not any(find_spec(engine) for engine in _ENGINES):
        mends.append('numpy opencv-python onnxruntime  # runs exported files, alone')
    for name in _PACKAGES[:-1]:  # xtcocotools may be missing
        if (told := _ask(partial(_package, name))).startswith('BROKEN'):
            (package, *_) = packages_distributions().get(name, (name,))
            mends.append(f'--force-reinstall --no-deps {package}  # {told[8:]}')
    for wanted, found in compat.wrong_versions():
        mends.append(f"--no-deps '{wanted}'  # in place of {found}")
    if compat.RECORD.get('pkg_resources', '').startswith('patched'):
        mends.append("'setuptools<82'  # mim and mmpose:: bases want pkg_resources")
    return mends


def _python() -> str:
    run = '' if (3, 10) <= sys.version_info < (3, 14) else ', but 3.10 to 3.13 were run'
    return f'{platform.python_version()}, {sys.executable}{run}'


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

    builds = dict(CUDA=torch.version.cuda, ROCm=getattr(torch.version, 'hip', None))
    found = [f'built for {name} {number}' for name, number in builds.items() if number]
    build = next(iter(found), 'CPU build')
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
