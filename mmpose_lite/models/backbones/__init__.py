"""Backbones, one file a family, on one high-resolution skeleton."""

from .litehrnet import LiteHRNet
from .xhrnet import XHRNet

__all__ = ['LiteHRNet', 'XHRNet']
