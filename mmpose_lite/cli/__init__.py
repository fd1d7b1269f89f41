"""The console command ``mmpose-lite VERB ...``, the same as ``python -m mmpose_lite``.

One module a verb: arguments, one public function, a report. A module is imported only
when its verb is asked for, and has

- a docstring, of which the first line is the help text and the rest stands below it,
  with an example;
- ``add_arguments(parser)``;
- ``run(args)``, which prints the report and returns an exit code, or None for 0.

Exit codes: 2 for bad arguments, 1 for work that failed, 130 for an interruption.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

VERBS = {
    'list': 'models of the zoo, with their cost and published figures',
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

FAILURES = (ValueError, ImportError, OSError, RuntimeError, MemoryError)
"""What work raises when it fails for a reason that the user can act upon."""


class Failed(SystemExit):
    """One line on stderr, and exit code 1: the work failed."""

    def __init__(self, message: str) -> None:
        print(f'error: {message}', file=sys.stderr)
        super().__init__(1)


def parser_of(verb: str) -> argparse.ArgumentParser:
    """Parser of one verb, from its module's docstring and ``add_arguments``."""
    module = import_module(f'.{verb.replace("-", "_")}', __name__)
    parser = argparse.ArgumentParser(
        prog=f'mmpose-lite {verb}',
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    # For arguments that do not go together: ends with code 2.
    parser.set_defaults(run=module.run, error=parser.error)
    return parser


def overview() -> argparse.ArgumentParser:
    """Parser of the command without a verb: lists the verbs."""
    width = max(map(len, VERBS))
    listed = '\n'.join(f'  {verb:<{width}}  {text}' for verb, text in VERBS.items())
    parser = argparse.ArgumentParser(
        prog='mmpose-lite',
        description='Light and searched human-pose networks.',
        epilog=f'verbs:\n{listed}\n\nmmpose-lite VERB --help says more about one.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('verb', choices=VERBS, metavar='VERB')
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        words: Arguments, without the program's name; None takes the process's own.

    Returns:
        The exit code.

    Raises:
        SystemExit: With code 2 for bad arguments, 1 for work that failed.
    """
    # (The name of the built-in list is taken here by the verb's module.)
    words = [*(sys.argv[1:] if words is None else words)]
    verb = overview().parse_args(words[:1]).verb
    args = parser_of(verb).parse_args(words[1:])
    try:
        return int(args.run(args) or 0)
    except FAILURES as error:
        message = ' '.join(str(error).split()) or type(error).__name__
        raise Failed(message) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
