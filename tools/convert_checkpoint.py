"""Convert weights of the research code: ``python tools/convert_checkpoint.py IN OUT``.

With ``--config`` the weights must load strictly into the model of that config.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from torch import nn

from mmpose_lite.checkpoints import read_checkpoint, translate
from mmpose_lite.files import write_atomically


def build(config: str) -> nn.Module:
    """The model of a config, with whatever weights it happens to start from."""
    init_default_scope('mmpose')
    return MODELS.build(Config.fromfile(config).model)


def main() -> None:
    """Convert one file and say what was done with everything in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', metavar='IN', help='checkpoint of the research code')
    parser.add_argument('target', metavar='OUT', help='file for mim test --checkpoint')
    parser.add_argument('--config', help='config of the model that shall load it')
    args = parser.parse_args()
    try:
        checkpoint = read_checkpoint(args.source)
        model = build(args.config) if args.config else None
        done = translate(checkpoint, model)
        if model is not None:
            model.load_state_dict(done.state_dict, strict=True)
        meta = {'converted_from': done.layout.name}
        data = io.BytesIO()
        torch.save({'state_dict': done.state_dict, 'meta': meta}, data)
        write_atomically(args.target, data.getvalue())
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from None
    print(*done.account(), sep='\n')
    fits = f'load strictly into {args.config}' if args.config else 'tried on no model'
    print(f'{args.target}: {len(done.state_dict)} keys, {fits}')


if __name__ == '__main__':
    main()
