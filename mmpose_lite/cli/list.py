"""Models of the zoo: size, cost, published figures, public weights.

A pattern chooses among names and short names. Figures are published ones in percent;
`mmpose-lite infer` downloads public weights by itself.

  mmpose-lite list 'litehrnet-*'
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('pattern', nargs='?', default='*', help="such as '*mpii*'")


def run(args: argparse.Namespace) -> None:
    from ..io.markdown import markdown_table
    from ..zoo import list_models

    models = list_models(args.pattern)
    if not models:
        raise ValueError(f'no model has a name like {args.pattern!r}')
    rows = [
        (
            model.aliases[0], model.size,
            f'{model.params / 1e6:.3f} M', f'{model.macs / 1e6:.1f} M',
            model.published.partition(',')[0], 'public' if model.weights else '–',
        )
        for model in models
    ]  # fmt: skip
    header = ('model', 'input', 'params', 'MACs', 'published', 'weights')
    print(markdown_table(header, rows))
