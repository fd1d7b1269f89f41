"""Write the README's model table from the metafiles, or check that it is current."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from mmpose_lite.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
START, END = '<!-- model table: tools/model_table.py -->', '<!-- end of model table -->'
HEADER = """
| config | input (H x W) | params | MACs | published |
|---|---|---|---|---|
"""


def row(model: dict) -> str:
    """One line of the table."""
    data = model['Metadata']
    metrics = [
        f'{name} {100 * value:.1f}'
        for result in model.get('Results', [])
        for name, value in result['Metrics'].items()
    ]
    link = f'[{model["Name"]}]({model["Config"]})'
    return (
        f'| {link} | {data["Input Size"]} | {data["Parameters"] / 1e6:.3f} M '
        f'| {data["MACs"] / 1e6:.1f} M | {", ".join(metrics) or "–"} |\n'
    )


def table() -> str:
    """The whole table, in the order of ``model-index.yml``."""
    imports = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    families = [yaml.safe_load((ROOT / path).read_text()) for path in imports]
    return HEADER + ''.join(row(m) for family in families for m in family['Models'])


def main() -> int:
    """Rewrite the README, or with ``--check`` only say whether it is current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='write nothing')
    arguments = parser.parse_args()
    readme = ROOT / 'README.md'
    text = readme.read_text()
    before, rest = text.split(START)
    current = f'{before}{START}\n{table()}\n{END}{rest.split(END)[1]}'
    if not arguments.check and current != text:
        write_atomically(readme, current.encode())
    return int(arguments.check and current != text)


if __name__ == '__main__':
    sys.exit(main())
