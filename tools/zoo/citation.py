"""References of ``CITATION.cff`` in BibTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .metafiles import ROOT

# Kind of reference → its BibTeX type, and what names the place it appeared in.
KINDS = {
    'conference-paper': ('inproceedings', 'booktitle', 'collection-title'),
    'article': ('article', 'journal', 'journal'),
}


def references(path: Path = ROOT / 'CITATION.cff') -> dict[str, Mapping[str, Any]]:
    """Papers that the project stands on, by title."""
    listed = yaml.safe_load(path.read_text(encoding='utf-8'))['references']
    return {entry['title']: entry for entry in listed}


def bibtex(entry: Mapping[str, Any]) -> str:
    """One reference as BibTeX.

    Args:
        entry: Of :func:`references`.
    """
    kind, field, place = KINDS[entry['type']]
    people = [
        f'{one["family-names"]}, {one["given-names"]}' for one in entry['authors']
    ]
    first = entry['authors'][0]['family-names'].lower()
    word = re.sub(r'\W', '', entry['title'].split()[0].rstrip(':')).lower()
    rows = {
        'title': f'{{{entry["title"]}}}',
        'author': ' and '.join(people),
        field: entry[place],
        'year': str(entry['year']),
        'doi': entry.get('doi'),
        'url': entry.get('url'),
    }
    lines = [f'  {name} = {{{value}}}' for name, value in rows.items() if value]
    return f'@{kind}{{{first}{entry["year"]}{word},\n' + ',\n'.join(lines) + '\n}'
