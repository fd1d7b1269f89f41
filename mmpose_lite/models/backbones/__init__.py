"""Backbones, one file a family, on one high-resolution skeleton."""

from .litehrnet import LiteHRNet
from .psa import PSAHRNet, PSAResNet
from .xhrnet import XHRNet

__all__ = ['LiteHRNet', 'PSAHRNet', 'PSAResNet', 'XHRNet']
