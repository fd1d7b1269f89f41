"""Draw the figures of the documents: ``python tools/draw_figures.py``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from figures import choosing, hrnas, litehrnet, psa, tokenpose, xhrnet

from mmpose_lite.io.files import write_atomically

IMAGES = Path(__file__).resolve().parents[1] / 'docs' / 'images'
FIGURES = {
    'choosing': choosing.draw,
    'hrnas_block': hrnas.draw,
    'litehrnet': litehrnet.draw,
    'psa': psa.draw,
    'tokenpose': tokenpose.draw,
    'xhrnet': xhrnet.draw,
}


def main() -> None:
    """Draw all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'names', nargs='*', metavar='NAME', help=f'of {", ".join(FIGURES)}; all if none'
    )
    parser.add_argument('--out', type=Path, default=IMAGES)
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(FIGURES))
    if unknown:
        raise SystemExit(f'error: NAME must be of {[*FIGURES]}, got {unknown}')
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or FIGURES:
        path = args.out / f'{name}.png'
        data = FIGURES[name]()
        write_atomically(path, data)
        print(f'{path}: {len(data) / 1000:.0f} kB')


if __name__ == '__main__':
    main()
