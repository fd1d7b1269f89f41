"""Backbones, one file a family, on one high-resolution skeleton."""

from .hrnet_trunk import HRNetTrunk, RawImage
from .litehrnet import LiteHRNet
from .psa import PSAHRNet, PSAResNet
from .xhrnet import XHRNet

__all__ = [
    'HRNetTrunk',
    'LiteHRNet',
    'PSAHRNet',
    'PSAResNet',
    'RawImage',
    'XHRNet',
]
