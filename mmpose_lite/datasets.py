"""The former name of :mod:`mmpose_lite.data`."""

import warnings

from .data import *  # noqa: F403
from .data import __all__  # noqa: F401

warnings.warn(
    'mmpose_lite.datasets is now mmpose_lite.data', DeprecationWarning, stacklevel=2
)
