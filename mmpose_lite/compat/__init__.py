"""What today's Python, torch, numpy and OpenCV need so that MMPose imports and works.

The patches are made by :func:`patch` when the package concerned is imported, so that
importing mmpose_lite itself imports none of them. Each acts only when it is needed, may
be repeated, and leaves a sentence in :data:`RECORD` for the environment report:

- ``torchvision ops``: a torchvision whose compiled part does not load (its build is not
  torch's partner) dies while it is imported and takes mmengine's Runner and MMPose
  along. Neither calls the missing ops; declaring their schemas is enough.
- ``checkpoints``: ``torch.load`` refuses classes it does not know, and
  mmengine writes its log history and numpy arrays into every checkpoint. The safe
  loader stays on and learns exactly these.
- ``process group``: mmengine calls ``torch.cuda.set_device`` also where there is no
  CUDA, so that distributed training on CPU does not start.
- ``numpy calls``: MMPose draws keypoints with a radius that is an array of one number
  and hands ``np.maximum`` its output by position; numpy 1.25 and 2.4 warn of the end.

Three modules get a stand-in where they are absent or cannot be imported; one that works
is left alone:

- ``operators``, ``mmcv._ext`` (:mod:`.mmcv_ops`): mmcv-lite has none, and compiled ones
  do not load with another torch than they were compiled for.
- ``xtcocotools`` (:mod:`.cocotools`): its wheels are compiled against numpy 1, and from
  Python 3.13 on it cannot be built.
- ``pkg_resources`` (:mod:`.distributions`): setuptools 82 dropped it.

:func:`check_versions` refuses what none of them can patch.
"""

from __future__ import annotations

import functools
import pickle
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

# Module → name of its patch, its stand-in, the part whose import shows that it works.
_STAND_INS = {
    'mmcv._ext': ('operators', 'mmcv_ops.py', None),
    'xtcocotools': ('xtcocotools', 'cocotools.py', 'xtcocotools.mask'),
    'pkg_resources': ('pkg_resources', 'distributions.py', None),
}
PATCHES = (
    *('torchvision ops', 'checkpoints', 'process group', 'numpy calls'),
    *(name for name, _, _ in _STAND_INS.values()),
)
RECORD: dict[str, str] = {}
"""Name of a patch to a sentence: 'patched: …' or why not; absent until it is due."""

_NUMPY = 'patched: MMPose gives radii and outputs to numpy as newer ones take them'
# qnms came with torchvision 0.27; declaring it for an older one harms nothing.
_SCHEMAS = tuple(
    f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'
    for name in ('nms', 'qnms')
)
_KEPT = '_mmpose_lite_schemas'
_DECLARED = "patched: torchvision's compiled part does not load; schemas declared"

# The native number types; object, string and structured types are never let in.
_DTYPE_CODES = ('b1', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2', 'f4', 'f8')
_HISTORY_METHODS = ('min', 'max', 'mean', 'current')


RANGES = {
    'torch': ('2.6', ''),
    'mmengine': ('0.10.1', '1'),
    'mmcv': ('2.1', '2.2'),
    'mmcv-lite': ('2.1', '2.2'),
    'mmpose': ('1.3', '2'),
}
"""Package → the oldest version that works, and the first that does not, if known."""


def wrong_versions() -> list[tuple[str, str]]:
    """Packages outside of :data:`RANGES`: what is allowed, and what is installed.

    A package that is absent, or says no version, is let through.
    """
    wrong = []
    for package, (oldest, beyond) in RANGES.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            continue
        too_new = beyond and _numbers(found) >= _numbers(beyond)
        if _numbers(found) < _numbers(oldest) or too_new:
            allowed = f'{package}>={oldest}' + (f',<{beyond}' if beyond else '')
            wrong.append((allowed, found))
    return wrong


def check_versions() -> None:
    """Refuse packages of :func:`wrong_versions`.

    Raises:
        ImportError: If there are any (the message names all of them).
    """
    if wrong := wrong_versions():
        told = (f'{allowed}, but {found} is installed' for allowed, found in wrong)
        raise ImportError(f'mmpose_lite needs {"; ".join(told)}')


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version: ``'2.13.0+cpu'`` is ``(2, 13, 0)``."""
    release = re.match(r'\d+(\.\d+)*', version)
    return tuple(map(int, release[0].split('.'))) if release else ()


Around = Callable[[Callable[[], None]], None]
"""What is done around a module's import; it calls its argument to execute it."""


def when_imported(name: str, around: Around) -> None:
    """Have ``around`` execute a module that is imported later, or follow an import.

    Args:
        name: Of the module.
        around: Gets the function that executes the module and must call it. If the
            module has been imported already, it is called at once, with a function that
            does nothing.
    """
    if sys.modules.get(name) is not None:
        around(lambda: None)
        return
    watcher = next((f for f in sys.meta_path if isinstance(f, _ImportWatcher)), None)
    if watcher is None:
        watcher = _ImportWatcher()
        sys.meta_path.insert(0, watcher)
    watcher.watched.setdefault(name, []).append(around)


class _ImportWatcher(MetaPathFinder):
    """Finds what the other finders find, and lets the watched modules be followed."""

    def __init__(self) -> None:
        self.watched: dict[str, list[Around]] = {}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname not in self.watched:
            return None
        spec = _found_by_others(self, fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Followed(spec.loader, self.watched)
        return spec


def _found_by_others(
    own: MetaPathFinder,
    fullname: str,
    path: Sequence[str] | None,
    target: ModuleType | None,
) -> ModuleSpec | None:
    """What the finders behind one of ours find."""
    others = sys.meta_path[sys.meta_path.index(own) + 1 :]
    specs = (finder.find_spec(fullname, path, target) for finder in others)
    return next((spec for spec in specs if spec is not None), None)


class _Followed(Loader):
    """The loader of one watched module; leaves the module its real loader."""

    def __init__(self, real: Loader, watched: dict[str, list[Around]]) -> None:
        self.real = real
        self.watched = watched

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self.real
        execute = functools.partial(self.real.exec_module, module)
        # Kept until the import has succeeded: a failed one may be tried again.
        for around in self.watched[module.__name__]:
            execute = functools.partial(around, execute)
        execute()
        del self.watched[module.__name__]


def patch() -> None:
    """Have every patch made as soon as its package is imported; may be repeated."""
    when_imported('torchvision', _patch_torchvision)
    when_imported('mmengine', _patch_mmengine)
    when_imported('mmpose.visualization.opencv_backend_visualizer', _patch_circles)
    when_imported('mmpose.codecs.utils.refinement', _patch_refinement)
    if not any(isinstance(finder, _StandInFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _StandInFinder())


class _StandInFinder(MetaPathFinder):
    """Finds the modules that have a stand-in, whether they are there or not."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname not in _STAND_INS:
            return None
        spec = _found_by_others(self, fullname, path, target)
        # An emptied folder is left behind by some uninstallers.
        if spec is None or spec.loader is None or spec.origin is None:
            return ModuleSpec(fullname, _StandInLoader(None))
        spec.loader = _StandInLoader(spec.loader)
        return spec


class _StandInLoader(Loader):
    """Loads a real module; where that fails, its stand-in in its place."""

    def __init__(self, real: Loader | None) -> None:
        self.real = real
        self.why = 'is absent'

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        if self.real is not None:
            try:
                return self.real.create_module(spec)
            except ImportError as error:
                self.real, self.why = None, f'does not load ({error})'
        return None

    def exec_module(self, module: ModuleType) -> None:
        name, file, probe = _STAND_INS[module.__name__]
        if self.real is not None:
            assert module.__spec__ is not None
            module.__spec__.loader = module.__loader__ = self.real
            try:
                self.real.exec_module(module)
                if probe:
                    import_module(probe)
            # numpy's word for a module that was compiled against another numpy.
            except (ImportError, ValueError) as error:
                self.why = f'does not load ({error})'
            else:
                RECORD[name] = f'not needed: {module.__name__} loads'
                return
        RECORD[name] = f'patched: {module.__name__} {self.why}; {file} stands in'
        # By its path: this module also works outside of its package.
        source = Path(__file__).with_name(file)
        exec(compile(source.read_bytes(), source, 'exec'), vars(module))


def _patch_torchvision(execute: Callable[[], None]) -> None:
    """Declare the schemas torchvision registers fakes for, if they do not exist.

    Only torchvision itself knows how its compiled part is found and loaded on this
    system, so its import is the test.
    """
    name = PATCHES[0]
    try:
        execute()
    except Exception as error:
        if 'operator torchvision::' not in str(error):
            RECORD[name] = f'left alone: torchvision cannot be imported ({error})'
            raise
    else:
        import torch

        declared = _KEPT in vars(torch.ops.torchvision)
        RECORD[name] = _DECLARED if declared else "not needed: torchvision's ops load"
        return
    import torch

    # What the failed import left behind would be taken for whole.
    for module in [m for m in sys.modules if m.startswith('torchvision.')]:
        del sys.modules[module]
    library = torch.library.Library('torchvision', 'FRAGMENT')
    for schema in _SCHEMAS:
        library.define(schema)
    # The schemas live as long as this object: keep it where torch keeps the ops, so
    # that dropping this module from sys.modules does not take them away.
    setattr(torch.ops.torchvision, _KEPT, library)
    execute()
    RECORD[name] = _DECLARED


def _patch_mmengine(execute: Callable[[], None]) -> None:
    """Patch what mmengine needs; a foreign version or a broken torch is left alone."""
    execute()
    steps = (_patch_checkpoints, _patch_process_group)
    for name, step in zip(PATCHES[1:3], steps, strict=True):
        try:
            check_versions()
            RECORD[name] = step()
        except (ImportError, OSError) as error:
            RECORD[name] = f'left alone: {error}'


def _patch_checkpoints() -> str:
    """Let the safe loader read what mmengine writes, under the names it writes."""
    import torch

    known = torch.serialization.get_safe_globals()
    names = {entry[1] for entry in known if isinstance(entry, tuple)}
    new = [entry for entry in _checkpoint_globals() if entry[1] not in names]
    torch.serialization.add_safe_globals([*new])
    return "patched: the safe loader knows mmengine's log history and numeric arrays"


def _checkpoint_globals() -> list[tuple[Any, str]]:
    """Pairs of what a checkpoint gets and the name under which it asks for it.

    Functions are stand-ins that answer only for what mmengine writes. numpy 1 and 2
    write different module names; either may meet files of the other.
    """
    import numpy as np
    from mmengine.logging import HistoryBuffer

    dtypes = {type(np.dtype(code)) for code in _DTYPE_CODES}
    return [
        (HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_history_method, 'builtins.getattr'),
        (_no_bytes, 'builtins.bytes'),
        (np.ndarray, 'numpy.ndarray'),
        (_plain_dtype, 'numpy.dtype'),
        *((cls, f'numpy.dtypes.{cls.__name__}') for cls in dtypes),
        *(
            (function, f'numpy.{core}.multiarray.{name}')
            for core in ('core', '_core')
            for function, name in (
                (_empty_array, '_reconstruct'),
                (_plain_scalar, 'scalar'),
            )
        ),
    ]


def _history_method(owner: object, name: object) -> Callable[..., Any]:
    """Stand in for ``getattr``: the four statistics of ``HistoryBuffer`` only."""
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name not in _HISTORY_METHODS:
        raise pickle.UnpicklingError(
            f'a checkpoint may use getattr for HistoryBuffer and {_HISTORY_METHODS} '
            f'only, but this one asks for {name!r} of {owner!r}'
        )
    return getattr(HistoryBuffer, str(name))


def _no_bytes(*values: object) -> bytes:
    """Stand in for ``bytes``: the content of an array of length 0, and nothing else."""
    if values:
        raise pickle.UnpicklingError(
            f'a checkpoint may use bytes for empty arrays only, not for {values!r}'
        )
    return b''


def _plain_dtype(code: object, align: bool = False, copy: bool = False) -> Any:
    """Stand in for ``numpy.dtype``: numpy's own native number types only.

    ``copy`` is ignored on purpose: a copied dtype takes whatever fields and flags a
    file sets on it, and an array of such a dtype reads bytes of the file as pointers;
    numpy's own instances ignore what is set. A file in foreign byte order is beyond
    this (mmengine writes native order).
    """
    import numpy as np

    if code not in _DTYPE_CODES:
        raise pickle.UnpicklingError(
            f'a checkpoint may hold arrays of {_DTYPE_CODES} only, but this one asks '
            f'for dtype {code!r}'
        )
    return np.dtype(str(code))


def _empty_array(kind: object, shape: object, code: object) -> Any:
    """Stand in for numpy's ``_reconstruct``: an empty array, to be filled by state."""
    import numpy as np

    if kind is not np.ndarray or shape != (0,):
        raise pickle.UnpicklingError(
            f'a checkpoint may rebuild plain arrays only, not {kind!r} of {shape!r}'
        )
    return np.empty(0, np.int8)


def _plain_scalar(dtype: object, data: object) -> Any:
    """Stand in for numpy's ``scalar``: one number from its bytes."""
    import numpy as np

    if (
        not isinstance(dtype, np.dtype)
        or dtype.str[1:] not in _DTYPE_CODES
        or not isinstance(data, bytes)
        or len(data) != dtype.itemsize
    ):
        raise pickle.UnpicklingError(
            f'a checkpoint may hold numbers of {_DTYPE_CODES} only, not {data!r} as '
            f'{dtype!r}'
        )
    return np.frombuffer(data, dtype)[0]


def _patch_process_group() -> str:
    """Let mmengine's PyTorch launcher start where there is no CUDA device."""
    import torch

    if not torch.distributed.is_available():
        return 'not needed: torch.distributed is not there'
    if torch.cuda.is_available():
        return 'not needed: CUDA is there'
    from mmengine.dist import utils

    original = utils._init_dist_pytorch
    if not hasattr(original, '_mmpose_lite'):
        utils._init_dist_pytorch = _without_set_device(original)
    return 'patched: mmengine starts process groups without CUDA'


def _without_set_device(original: Callable[..., None]) -> Callable[..., None]:
    """``original`` with ``torch.cuda.set_device`` doing nothing while it runs."""
    import torch

    @functools.wraps(original)
    def init_dist_pytorch(backend: str, *args: Any, **kwargs: Any) -> None:
        if torch.backends.cuda.is_built() and backend != 'gloo':
            # A GPU was meant: torch's own error says what is wrong with it.
            return original(backend, *args, **kwargs)
        set_device = torch.cuda.set_device
        torch.cuda.set_device = lambda device: None
        try:
            return original(backend, *args, **kwargs)
        finally:
            torch.cuda.set_device = set_device

    init_dist_pytorch._mmpose_lite = True  # type: ignore[attr-defined]
    return init_dist_pytorch


def _patch_circles(execute: Callable[[], None]) -> None:
    """Give OpenCV the radius as a number."""
    execute()
    from mmpose.visualization.opencv_backend_visualizer import (
        OpencvBackendVisualizer as Drawer,
    )

    original = Drawer.draw_circles
    if hasattr(original, '_mmpose_lite'):
        return

    @functools.wraps(original)
    def draw_circles(
        self: Any, center: Any, radius: Any, *args: Any, **how: Any
    ) -> Any:
        if self.backend == 'opencv':
            radius = radius.item()
        return original(self, center, radius, **how)

    draw_circles._mmpose_lite = True  # type: ignore[attr-defined]
    Drawer.draw_circles = draw_circles
    RECORD['numpy calls'] = _NUMPY


def _patch_refinement(execute: Callable[[], None]) -> None:
    """Let the module's ``np.maximum`` take its output by position."""
    execute()
    import numpy as np
    from mmpose.codecs.utils import refinement

    def maximum(first: Any, second: Any, out: Any = None) -> Any:
        return np.maximum(first, second, out=out)

    refinement.np = SimpleNamespace(**{**vars(np), 'maximum': maximum})
    RECORD['numpy calls'] = _NUMPY
