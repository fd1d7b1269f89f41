"""Every model of the package; importing this module registers them."""

from . import backbones

__all__ = ['backbones']
