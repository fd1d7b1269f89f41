"""Convert weights of the research code: ``python tools/convert_checkpoint.py IN OUT``.

With ``--config`` the weights must load strictly into the model of that config. IN may
be a safetensors file; OUT becomes one if its name ends in ``.safetensors``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from torch import nn

from mmpose_lite.checkpoints import (
    Conversion,
    encode_checkpoint,
    read_checkpoint,
    translate,
)
from mmpose_lite.io.files import remove_parts, write_atomically


def build(config: str) -> nn.Module:
    """The model of a config, with whatever weights it happens to start from."""
    init_default_scope('mmpose')
    return MODELS.build(Config.fromfile(config).model)


def translated(
    source: Path, checkpoint: Mapping[str, Any], model: nn.Module | None
) -> Conversion:
    """The conversion of what lay in a file, which errors name."""
    try:
        return translate(checkpoint, model)
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from None


def main() -> None:
    """Convert one file and say what was done with everything in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', metavar='IN', help='checkpoint of the research code')
    parser.add_argument('target', metavar='OUT', help='file for mim test --checkpoint')
    parser.add_argument('--config', help='config of the model that shall load it')
    args = parser.parse_args()
    source, target = Path(args.source), Path(args.target)
    try:
        if target.exists() and target.samefile(source):
            raise ValueError(f'OUT is IN ({source}); the original is not overwritten')
        checkpoint = read_checkpoint(source)
        model = build(args.config) if args.config else None
        done = translated(source, checkpoint, model)
        notes = {'converted_from': done.layout.name}
        data = encode_checkpoint(target, done.state_dict, notes)
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_parts(target.parent)
        write_atomically(target, data)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f'error: {error}') from None
    print(*done.account(), sep='\n')
    fits = f'load strictly into {args.config}' if args.config else 'tried on no model'
    print(f'{target}: {len(done.state_dict)} keys, {fits}')


if __name__ == '__main__':
    main()
