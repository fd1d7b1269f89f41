"""Draw an HR-NAS network: ``python tools/draw_arch.py SOURCE --out FILE.png``.

SOURCE is an architecture (.json), a config (.py), or a checkpoint of a search, of
retraining or of an export.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
from mmengine.config import Config

from mmpose_lite.analysis import complexity
from mmpose_lite.checkpoints import read_checkpoint
from mmpose_lite.explain import draw_architecture, save_image
from mmpose_lite.models.backbones import HRNASNet
from mmpose_lite.models.backbones.hrnas_arch import read_arch
from mmpose_lite.search.result import search_result


def read(source: Path, config: str | None) -> tuple[HRNASNet, tuple[int, int] | None]:
    """The network that a file describes, and its image size (W, H) if it knows one."""
    size: Any = None
    if source.suffix == '.json':
        arch = read_arch(source)
        net, size = HRNASNet(arch), arch.get('input_size')
    elif source.suffix == '.py':
        model = Config.fromfile(source).model
        net = HRNASNet(model.backbone.get('arch'), model.backbone.get('space'))
        size = model.head.decoder.input_size
    else:
        given = Config.fromfile(config).to_dict() if config else None
        result = search_result(read_checkpoint(source), given)
        net = HRNASNet(result.describe())
        size = result.input_size
    return net, (int(size[0]), int(size[1])) if size else None


def main() -> None:
    """Draw one network."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('source', metavar='SOURCE', type=Path)
    add('--out', required=True, help='PNG')
    add('--config', help='of the search, for a checkpoint that names no architecture')
    add('--input-size', type=int, nargs=2, metavar=('W', 'H'))
    add('--title', help='name of the file if not given')
    args = parser.parse_args()
    try:
        net, size = read(args.source, args.config)
        size = tuple(args.input_size) if args.input_size else size
        cost = f'{sum(p.numel() for p in net.parameters()) / 1e6:.3f} M parameters'
        if size:
            macs = complexity(net, size[::-1]).macs / 1e9
            cost = f'{macs:.3f} GMACs · {cost} at {size[1]}x{size[0]} (H x W)'
        picture = draw_architecture(
            net.space,
            net.arch,
            args.title or args.source.stem,
            f'{cost}, without the head',
            size[::-1] if size else None,
        )
        save_image(args.out, picture)
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from None


if __name__ == '__main__':
    main()
