"""Export what a search found: ``python tools/export_arch.py CHECKPOINT OUT_DIR``.

OUT_DIR then holds a config that stands alone, weights for it, and the architecture.
The config inside the checkpoint is read as plain values, its text is never run.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import torch
from mmengine.config import Config

from mmpose_lite.checkpoints import read_checkpoint
from mmpose_lite.io.markdown import format_table
from mmpose_lite.search import export_check as check
from mmpose_lite.search import export_report as report
from mmpose_lite.search.export import Export, exported
from mmpose_lite.search.result import SearchResult, search_result


def compare(result: SearchResult, files: Export, searched: torch.nn.Module) -> None:
    """Try both networks on the same images; refuse if they differ."""
    network, config = check.exported_network(files), Config.fromfile(files.config)
    torch.manual_seed(0)
    batches = {'random images': torch.randn(2, 3, *result.input_size[::-1])}
    try:
        batches['real images'] = check.real_images(config, network)
    except FileNotFoundError as error:
        print(f'real images: not tried ({error})')
    for name, images in batches.items():
        found = check.relative_difference(searched, network, images)
        if not found <= check.TOLERANCE:
            raise ValueError(f'the exported network differs by {found:.2e} on {name}')
        same = (
            'bitwise equal' if found == 0 else f'differs by {found:.1e} of the largest'
        )
        print(f'{name} ({len(images)}): {same}')


def main() -> None:
    """Export one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='of a search')
    parser.add_argument('out_dir', metavar='OUT_DIR', help='new or empty')
    parser.add_argument('--config', help='of the search, if the checkpoint has none')
    parser.add_argument('--name', help='of config and weights, without suffix')
    args = parser.parse_args()
    try:
        config = Config.fromfile(args.config).to_dict() if args.config else None
        result = search_result(read_checkpoint(args.checkpoint), config)
        name = args.name or default_name(result, args.config)
        searched = check.searched_network(result)
        extents = report.extents(result, searched)
        header = report.provenance(result, Path(args.checkpoint).name, *extents)
        with exported(result, args.out_dir, name, header) as files:
            compare(result, files, searched)
    except (ValueError, ImportError, OSError) as error:
        raise SystemExit(f'error: {error}') from None
    print(format_table(report.comparison(*extents)))
    print(f'{args.out_dir}: {name}.py, {name}.pth, {files.arch.name}')


def default_name(result: SearchResult, config: str | None) -> str:
    """Name of the search's config with what it is now."""
    name = Path(config).stem if config else result.search_name
    if 'supernet' in name:
        return name.replace('supernet', 'searched')
    named = re.sub('hrnas[^_]*', r'\g<0>-searched', name, count=1)
    return named if named != name else f'searched_{name}'


if __name__ == '__main__':
    main()
