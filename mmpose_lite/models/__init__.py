"""Every model of the package; importing this module registers them."""

from ..registry import register_model
from . import backbones, codecs, heads, layers

__all__ = ['backbones', 'codecs', 'heads', 'layers']

# Layers import no registry; those that configs name are registered here.
register_model(layers.PolarizedSelfAttention)
