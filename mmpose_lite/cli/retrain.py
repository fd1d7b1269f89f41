"""Write what a search found as files that are trained: config, weights, architecture.

The config inside the checkpoint is read as plain values, its text is never run. The
network of the files is compared with the one that was found before they stay.

  mmpose-lite retrain work_dirs/search/epoch_210.pth searched
  mim train mmpose searched/*.py
"""

from __future__ import annotations

import argparse

from ..io.markdown import markdown_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('checkpoint', metavar='CHECKPOINT', help='of a search')
    add('out_dir', metavar='OUT_DIR', help='new or empty')
    add('--config', help='of the search, if the checkpoint has none')
    add('--name', help='of config and weights, without suffix')


def run(args: argparse.Namespace) -> None:
    from ..search import write_retraining
    from .common import quiet

    quiet()
    made = write_retraining(args.checkpoint, args.out_dir, args.config, args.name)
    rows = [
        (name, f'{old:,}', f'{made.after[name]:,}', f'{made.after[name] / old:.1%}')
        for name, old in made.before.items()
    ]
    print(markdown_table(('', 'supernet', 'searched', 'left'), rows))
    files = ', '.join(p.name for p in (made.config, made.weights, made.arch))
    print(f'{args.out_dir}: {files}')
