"""Convert weights of the research codebases into a file for `mim test`.

With --config the weights must load strictly into the model of that config, and OUT says
that they were trained with its geometry. IN may be a safetensors file or Paddle's; OUT
becomes safetensors if its name ends in .safetensors.

  mmpose-lite convert final_state.pth tokenpose-s.pth --config tokenpose-s-v1
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('source', metavar='IN', help='checkpoint of the research code')
    parser.add_argument('target', metavar='OUT', help='file for mim test --checkpoint')
    parser.add_argument(
        '--config', help='config, or name in the zoo, of the model that must load it'
    )


def run(args: argparse.Namespace) -> None:
    from ..checkpoints import convert_file, geometry_of

    model, notes = None, {}
    if args.config:
        from ..loading import build_model, read_config
        from ..zoo import find_model

        config = read_config(find_model(args.config).config)
        model, notes = build_model(config), {'geometry': geometry_of(config)}
    done = convert_file(args.source, args.target, model, notes)
    print(*done.account(), sep='\n')
    fits = f'load strictly into {args.config}' if args.config else 'tried on no model'
    print(f'{args.target}: {len(done.state_dict)} keys, {fits}')
