"""Every row of every table of backbones: a new row is tested by existing."""

from mmpose_lite.models.backbones import LiteHRNet, XHRNet, litehrnet, xhrnet

ROWS = [
    (cls, name)
    for cls, table in ((LiteHRNet, litehrnet.ARCHS), (XHRNet, xhrnet.ARCHS))
    for name in table
]
IDS = [f'{cls.__name__}-{name}' for cls, name in ROWS]
TINY = dict(num_modules=(1, 1), channels=((8, 16), (8, 16, 24)), stem_channels=8)
"""An arch of one's own, small enough for float64 and gradients."""
TINY_ROWS = [
    (LiteHRNet, dict(TINY, unit='ccw')),
    (LiteHRNet, dict(TINY, unit='naive')),
    (XHRNet, dict(TINY, unit='sequential')),
    (XHRNet, dict(TINY, unit='parallel')),
    (XHRNet, dict(TINY, unit='naive')),
]
TINY_IDS = [f'{cls.__name__}-{arch["unit"]}' for cls, arch in TINY_ROWS]
