"""Programs that have become verbs of ``mmpose-lite``, under their old names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn


def run_verb(verb: str) -> NoReturn:
    """Run a verb of this checkout with the words of this process."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from mmpose_lite.cli import main

    raise SystemExit(main([verb, *sys.argv[1:]]))
