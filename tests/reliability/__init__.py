"""The reliability campaign: how it works is told in ``frame.py``."""
