"""Checkpoints of other codebases, converted into this project's keys by tables."""

from .convert import (
    LAYOUTS,
    Conversion,
    convert,
    convert_file,
    encode_checkpoint,
    translate,
)
from .geometry import geometry_conflict, geometry_of
from .layout import Drop, Dropped, Layout, Rename
from .read import fetch, read_checkpoint

__all__ = [
    'LAYOUTS',
    'Conversion',
    'Drop',
    'Dropped',
    'Layout',
    'Rename',
    'convert',
    'convert_file',
    'encode_checkpoint',
    'fetch',
    'geometry_conflict',
    'geometry_of',
    'read_checkpoint',
    'translate',
]
