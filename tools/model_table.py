"""Write what is made of the metafiles: model tables and the families' READMEs.

The tables of README.md and README_zh-CN.md and every configs/FAMILY/README.md. With
``--check`` nothing is written; what is not current is named, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zoo.metafiles import ROOT, families
from zoo.pages import HEADS, family_page, with_table

from mmpose_lite.io.files import write_atomically


def pages() -> dict[Path, str]:
    """What every generated file should hold."""
    zoo = families()
    texts = {
        ROOT / name: with_table((ROOT / name).read_text(encoding='utf-8'), head, zoo)
        for name, head in HEADS.items()
    }
    return texts | {one.folder / 'README.md': family_page(one) for one in zoo}


def main() -> int:
    """Rewrite what is not current, or with ``--check`` only name it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='write nothing')
    arguments = parser.parse_args()
    stale = {
        path: text
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding='utf-8') != text
    }
    for path, text in stale.items():
        print(
            path.relative_to(ROOT), 'is not current' if arguments.check else 'written'
        )
        if not arguments.check:
            write_atomically(path, text.encode())
    return int(arguments.check and bool(stale))


if __name__ == '__main__':
    sys.exit(main())
