"""The console command ``mmpose-lite VERB ...``, the same as ``python -m mmpose_lite``.

One module a verb: arguments, one public function, a report. A module is imported only
when its verb is asked for, and has

- a docstring, of which the first line is the help text and the rest stands below it,
  with an example;
- ``add_arguments(parser)``;
- ``run(args)``, which prints the report and returns an exit code, or None for 0.

Exit codes: 2 for what was given and cannot be taken (an argument, or a file that it
names), 1 for work that failed, 130 for an interruption, 143 for a termination.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

VERBS = {
    'list': 'models of the zoo, with their cost and published figures',
    'download': 'public weights by name, checked and converted',
    'config': 'path of a packaged config, or a copy of it to edit',
    'demo': 'draw toy people, train on them, evaluate, draw',
    'infer': 'find poses in images, folders, videos and cameras',
    'export': 'a network as a file for an engine, proven to do the same',
    'compare': 'precision of two exported models on annotated people',
    'convert': 'weights of the research codebases for this package',
    'check-data': 'damaged annotations and images, before a training',
    'describe-keypoints': 'own keypoints, as MMPose wants them described',
    'toy-data': 'drawn people in the format of COCO, for trying things out',
    'benchmark': "time networks of this package beside MMPose's",
    'latency': 'measure what the blocks of a search cost on this machine',
    'explain': 'what a model looked at: heatmaps, attention, gates, architecture',
    'env': 'versions and builds, for a bug report',
    'retrain': 'what a search found, as config, weights and architecture',
}
"""Verb to one line of help; its module is the verb with underscores."""

FAILURES = (ImportError, RuntimeError, MemoryError)
"""What failed work raises, beside OSError, that the user can act upon."""


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one line, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        """End with code 2."""
        self.exit(2, f'error: {message} (see {self.prog} --help)\n')


def end(code: int, message: str) -> NoReturn:
    """End with a code, and one line on stderr."""
    print(f'error: {message}', file=sys.stderr)
    raise SystemExit(code)


def parser_of(verb: str) -> Parser:
    """Parser of one verb, from its module's docstring and ``add_arguments``."""
    module = import_module(f'.{verb.replace("-", "_")}', __name__)
    parser = Parser(
        prog=f'mmpose-lite {verb}',
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    # As they are typed, for messages.
    names = {
        action.dest: (*action.option_strings, action.metavar or action.dest)[0]
        for action in parser._actions
    }
    # `error` is for arguments that do not go together.
    parser.set_defaults(run=module.run, error=parser.error, names=names)
    return parser


def overview() -> Parser:
    """Parser of the command without a verb: lists the verbs."""
    width = max(map(len, VERBS))
    listed = '\n'.join(f'  {verb:<{width}}  {text}' for verb, text in VERBS.items())
    parser = Parser(
        prog='mmpose-lite',
        description='Light and searched human-pose networks.',
        epilog=f'verbs:\n{listed}\n\nmmpose-lite VERB --help says more about one.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('verb', choices=VERBS, metavar='VERB')
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb; returns its exit code, or exits with 2 or 1, see above."""
    # (The name of the built-in list is taken here by the verb's module.)
    words = [*(sys.argv[1:] if words is None else words)]
    verb = overview().parse_args(words[:1]).verb
    args = parser_of(verb).parse_args(words[1:])
    if threading.current_thread() is threading.main_thread():
        # What is being written is removed on the way out.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return int(args.run(args) or 0)
    except ValueError as error:
        end(2, _one_line(error))
    except OSError as error:
        option = _option_of(error.filename, args)
        what = f'{error.strerror}: {error.filename}' if error.filename else error
        end(2 if option else 1, f'{option}{_one_line(what)}')
    except FAILURES as error:
        end(1, _one_line(error) or type(error).__name__)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _one_line(what: object) -> str:
    """A message, of which a list of a thousand weights keeps the first."""
    lines = str(what).splitlines()
    more = [f'… and {len(lines) - 5} more'] if len(lines) > 6 else []
    return ' '.join(' '.join([*lines[: 5 if more else 6], *more]).split())


def _option_of(path: object, args: argparse.Namespace) -> str:
    """The argument that named a file, as it is typed; empty if none did."""
    if path is None:
        return ''
    for name, value in vars(args).items():
        given = [value] if isinstance(value, str | Path) else value
        if isinstance(given, Sequence) and str(path) in map(str, given):
            return f'{args.names[name]}: '
    return ''
