"""Backbones, one file a family, on one high-resolution skeleton."""

from .hrnas import HRNASNet
from .hrnet_trunk import HRNetTrunk, RawImage
from .litehrnet import LiteHRNet
from .psa import PSAHRNet, PSAResNet
from .xhrnet import XHRNet

__all__ = [
    'HRNASNet',
    'HRNetTrunk',
    'LiteHRNet',
    'PSAHRNet',
    'PSAResNet',
    'RawImage',
    'XHRNet',
]
