"""What the metafiles say, see ``mmpose_lite.zoo``, and where they are."""

from pathlib import Path

from mmpose_lite.zoo import (
    DETECTOR,
    GROUND_TRUTH,
    Collection,
    Family,
    Model,
    PublishedFile,
    families,
    percent,
)

ROOT = Path(__file__).resolve().parents[2]
__all__ = [
    'DETECTOR',
    'GROUND_TRUTH',
    'ROOT',
    'Collection',
    'Family',
    'Model',
    'PublishedFile',
    'families',
    'percent',
]
