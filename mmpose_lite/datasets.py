"""Former name of :mod:`mmpose_lite.data`."""

from typing import Any

from .renamed import find_renamed


def __getattr__(name: str) -> Any:
    return find_renamed(__name__, name)
