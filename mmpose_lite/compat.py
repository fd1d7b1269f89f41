"""What today's torch and torchvision need so that MMPose imports, loads and starts.

Three mendings, all made by :func:`mend` before anything of MMPose is imported. Each
acts only when it is needed, may be repeated, and leaves a sentence in :data:`RECORD`
for the environment report:

- ``torchvision ops``: a torchvision whose compiled part does not load (its build is not
  torch's partner) dies while it is imported and takes mmengine's Runner and MMPose
  along. Neither calls the missing ops; declaring their schemas is enough.
- ``checkpoints``: ``torch.load`` refuses classes it does not know, and
  mmengine writes its log history and numpy arrays into every checkpoint. The safe
  loader stays on and learns exactly these.
- ``process group``: mmengine calls ``torch.cuda.set_device`` also where there is no
  CUDA, so that distributed training on CPU does not start.

:func:`check_versions` refuses what none of them can mend.
"""

from __future__ import annotations

import functools
import pickle
import re
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

RECORD: dict[str, str] = {}
"""What :func:`mend` did: name of the mending → sentence ('mended: …' or why not)."""

# qnms came with torchvision 0.27; declaring it for an older one harms nothing.
_SCHEMAS = tuple(
    f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'
    for name in ('nms', 'qnms')
)
_KEPT = '_mmpose_lite_schemas'

# The native number types; object, string and structured types are never let in.
_DTYPE_CODES = ('b1', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2', 'f4', 'f8')
_HISTORY_METHODS = ('min', 'max', 'mean', 'current')


RANGES = {
    'torch': ('2.6', ''),
    'mmengine': ('0.10.1', '1'),
    'mmcv': ('2.1', '2.2'),
    'mmpose': ('1.3', '2'),
}
"""Package → the oldest version that works, and the first that does not, if known."""


def check_versions() -> None:
    """Refuse packages of versions outside of :data:`RANGES`.

    A package that is absent, or says no version, is let through.

    Raises:
        ImportError: If a version is out of range (the message names all of them).
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
            wrong.append(f'{allowed}, but {found} is installed')
    if wrong:
        raise ImportError(f'mmpose_lite needs {"; ".join(wrong)}')


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version: ``'2.13.0+cpu'`` is ``(2, 13, 0)``."""
    release = re.match(r'\d+(\.\d+)*', version)
    return tuple(map(int, release[0].split('.'))) if release else ()


def mend() -> dict[str, str]:
    """Make every mending that this environment needs; further calls change nothing.

    A package that is absent or broken is left to raise its own error where it is used.

    Returns:
        A copy of :data:`RECORD`.
    """
    for name, step in _STEPS.items():
        try:
            import_module('torch')
            RECORD[name] = step()
        except (ImportError, OSError) as error:
            RECORD[name] = f'left alone: something needed cannot be imported ({error})'
    return dict(RECORD)


def _mend_torchvision() -> str:
    """Declare the schemas torchvision registers fakes for, if they do not exist."""
    import torch

    if find_spec('mmengine') is None or find_spec('torchvision') is None:
        return 'not needed: mmengine or torchvision is not installed'
    if _KEPT in vars(torch.ops.torchvision):
        return 'mended: schemas declared earlier in this process'
    # Only torchvision itself knows how its compiled part is found and loaded on this
    # system, so the import that mmengine and MMPose make anyway is the test.
    try:
        import_module('torchvision')
    except Exception as error:
        _forget('torchvision')
        if 'operator torchvision::' not in str(error):
            return f'left alone: torchvision cannot be imported ({error})'
    else:
        return "not needed: torchvision's compiled part works"
    library = torch.library.Library('torchvision', 'FRAGMENT')
    for schema in _SCHEMAS:
        library.define(schema)
    # The schemas live as long as this object: keep it where torch keeps the ops, so
    # that dropping this module from sys.modules does not take them away.
    setattr(torch.ops.torchvision, _KEPT, library)
    return "mended: torchvision's compiled part does not load; schemas declared"


def _forget(package: str) -> None:
    """Drop what a failed import left behind, so that the next one starts afresh."""
    for name in [n for n in sys.modules if n.partition('.')[0] == package]:
        del sys.modules[name]


def _mend_checkpoints() -> str:
    """Let the safe loader read what mmengine writes, under the names it writes."""
    import torch

    if find_spec('mmengine') is None:
        return 'not needed: mmengine is not installed'
    known = torch.serialization.get_safe_globals()
    names = {entry[1] for entry in known if isinstance(entry, tuple)}
    new = [entry for entry in _checkpoint_globals() if entry[1] not in names]
    torch.serialization.add_safe_globals([*new])
    return "mended: the safe loader knows mmengine's log history and numeric arrays"


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


def _mend_process_group() -> str:
    """Let mmengine's PyTorch launcher start where there is no CUDA device."""
    import torch

    if find_spec('mmengine') is None or not torch.distributed.is_available():
        return 'not needed: mmengine or torch.distributed is not there'
    if torch.cuda.is_available():
        return 'not needed: CUDA is there'
    from mmengine.dist import utils

    original = utils._init_dist_pytorch
    if not hasattr(original, '_mmpose_lite'):
        utils._init_dist_pytorch = _without_set_device(original)
    return 'mended: mmengine starts process groups without CUDA'


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


_STEPS: dict[str, Callable[[], str]] = {
    'torchvision ops': _mend_torchvision,
    'checkpoints': _mend_checkpoints,
    'process group': _mend_process_group,
}
