"""Path of a packaged config, or a copy of it to edit.

Bases of the copy are named by absolute paths, so that it can be anywhere.

  mmpose-lite config xhrnet-s18
  mmpose-lite config xhrnet-s18 --copy mine.py
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('name', help='name or alias in the zoo, or file name')
    parser.add_argument('--copy', metavar='OUT', help='file, or folder, for a copy')


def run(args: argparse.Namespace) -> None:
    from ..paths import copy_config
    from ..zoo import find_model

    path = find_model(args.name).config
    print(copy_config(path, args.copy) if args.copy else path)
