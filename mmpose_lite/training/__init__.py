"""What the Runner calls while it trains; importing this module registers it."""

from . import hooks

__all__ = ['hooks']
