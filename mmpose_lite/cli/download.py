"""Public weights by name: download, check and convert them for MMPose.

They are kept below MMPOSE_LITE_HOME, or in the user's cache; MMPOSE_LITE_MIRROR names a
mirror. --list shows all, --verify compares what is kept with what was published.

  mmpose-lite download tinypose-256x192 litehrnet-18
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('name', nargs='*', metavar='NAME', help='model of the zoo, or one of its files')
    ask = parser.add_mutually_exclusive_group()
    said = 'names, figures, which are kept'
    ask.add_argument('--list', action='store_true', help=said)
    ask.add_argument('--verify', action='store_true', help='check what is kept')


def run(args: argparse.Namespace) -> int:
    """Fetch, list or verify; 1 if something that is kept is damaged."""
    from ..io.markdown import markdown_table
    from ..weights import fetch_weights, public_files, verify_weights, weights_path
    from ..zoo import percent, public_file

    if not (args.name or args.list or args.verify):
        args.error('nothing to do: give names, --list or --verify')
    chosen = [public_file(name) for name in args.name] or list(public_files())
    if args.list:
        rows = []
        for model, file in chosen:
            figure = percent(file.metrics).partition(',')[0]
            where = 'kept' if weights_path(file).exists() else file.url or ''
            rows.append((file.alias, model.aliases[-1], figure, file.boxes, where))
        print(markdown_table(('name', 'model', 'published', 'boxes', 'where'), rows))
        return 0
    if args.verify:
        problems = 0
        for _, file in chosen:
            if args.name or weights_path(file).exists():
                problem = verify_weights(file)
                problems += bool(problem)
                whole = 'as published' if file.sha256 else 'as downloaded'
                print(f'{file.alias}: {problem or whole}')
        return int(problems > 0)
    for name in args.name:
        print(fetch_weights(name))
    return 0
