"""Light and searched human-pose networks for MMPose 1.x.

Importing the package registers every model and hook; it prints and downloads nothing.
Where MMPose is absent only what needs no MMPose can be used.
"""

import sys
from importlib.util import find_spec
from typing import Any

from . import compat
from .paths import config_path, register_config_scope

__version__ = '0.1.0'
__all__ = ['__version__', 'config_path', 'inferencer']


def _installed(package: str) -> bool:
    # What keeps a package from being imported may refuse to look for it, too.
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _tell(what: str, error: Exception) -> None:
    # The environment report shall say what is broken (argv[0] is '-m' while
    # `python -m` looks for what to run); everybody else shall stop at it.
    if sys.argv[:1] != ['-m']:
        raise error
    compat.RECORD[what] = f'BROKEN: {type(error).__name__}: {error}'


try:
    compat.check_versions()
except ImportError as error:
    _tell('versions', error)
compat.mend()
register_config_scope()
# An absent MMPose is allowed; a broken one raises its own error.
if _installed('mmpose'):
    try:
        from . import models, training  # noqa: F401  (imported for their registrations)
    except Exception as error:
        _tell('models', error)


def __getattr__(name: str) -> Any:
    # Inference brings MMPose's inferencers along, which take a while to import.
    if name == 'inferencer':
        from .inference import inferencer

        return inferencer
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
