"""Programs that have become verbs of ``mmpose-lite``, under their old names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn


def run_verb(verb: str, *words: str) -> NoReturn:
    """Run a verb of this checkout with words, and those of this process."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from mmpose_lite.cli import main

    raise SystemExit(main([verb, *words, *sys.argv[1:]]))
