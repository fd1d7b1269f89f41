"""What the metafiles under ``configs/`` say, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DETECTOR, GROUND_TRUTH = 'detector', 'ground truth'


@dataclass(frozen=True)
class PublishedFile:
    """Weights that somebody published, known by the names of their file.

    Args:
        names: What the file is called, without its suffix.
        metrics: What was published for it, as a share of 1; empty where it has the
            figures of its model.
        source: Where the figures stand.
        boxes: Boxes that they were measured with.
        note: What else a reader must know.
        url: Public address, if there is one.
    """

    names: tuple[str, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)
    source: str = ''
    boxes: str = DETECTOR
    note: str = ''
    url: str | None = None


@dataclass(frozen=True)
class Model:
    """One row of the zoo; ``metrics`` and ``source`` are of its paper or repository."""

    name: str
    aliases: tuple[str, ...]
    config: str
    collection: str
    data: str
    size: str
    params: int
    macs: int
    metrics: Mapping[str, float]
    source: str
    files: tuple[PublishedFile, ...]

    @property
    def published(self) -> str:
        """Its published figures in percent, or a dash."""
        return percent(self.metrics) or '–'


@dataclass(frozen=True)
class Collection:
    """What the models of one paper share.

    ``page`` is the document on it and ``code`` the address of the research code, both
    empty if there is none; ``own`` are results of this project.
    """

    name: str
    title: str
    url: str
    code: str
    page: str
    idea: str
    figure: Mapping[str, str]
    own: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Family:
    """One folder of configs."""

    folder: Path
    collections: tuple[Collection, ...]
    models: tuple[Model, ...]


def percent(metrics: Mapping[str, float]) -> str:
    """Metrics in words, such as ``AP 64.8, AR 71.2``."""
    return ', '.join(f'{name} {100 * value:.1f}' for name, value in metrics.items())


def families(root: Path = ROOT) -> list[Family]:
    """All of them, in the order of ``model-index.yml``.

    Args:
        root: Folder that holds it and ``configs``.
    """
    index = yaml.safe_load((root / 'model-index.yml').read_text(encoding='utf-8'))
    return [_family(root / path) for path in index['Import']]


def _family(path: Path) -> Family:
    data = yaml.safe_load(path.read_text(encoding='utf-8'))
    return Family(
        folder=path.parent,
        collections=tuple(map(_collection, data['Collections'])),
        models=tuple(map(_model, data['Models'])),
    )


def _collection(entry: Mapping[str, Any]) -> Collection:
    return Collection(
        name=entry['Name'],
        title=entry['Paper']['Title'],
        url=entry['Paper']['URL'],
        code=entry.get('Research Code', ''),
        page=entry.get('Page', ''),
        idea=entry['Idea'].strip(),
        figure=entry.get('Figure', {}),
        own=tuple(entry.get('Own Results', ())),
    )


def _model(entry: Mapping[str, Any]) -> Model:
    data = entry['Metadata']
    results = entry.get('Results', [])
    url = entry.get('Weights')
    return Model(
        name=entry['Name'],
        aliases=tuple(entry['Alias']),
        config=entry['Config'],
        collection=entry['In Collection'],
        data=data['Training Data'],
        size=data['Input Size'],
        params=data['Parameters'],
        macs=data['MACs'],
        metrics={k: v for result in results for k, v in result['Metrics'].items()},
        source=data.get('Published', ''),
        files=tuple(_file(file, url) for file in entry.get('Published Files', ())),
    )


def _file(entry: Mapping[str, Any], url: str | None) -> PublishedFile:
    stem = Path(url).stem if url else None
    return PublishedFile(
        names=tuple(entry['Names']),
        metrics=entry.get('Metrics', {}),
        source=entry.get('Source', ''),
        boxes=entry.get('Boxes', DETECTOR),
        note=entry.get('Note', ''),
        url=url if stem in entry['Names'] else None,
    )
