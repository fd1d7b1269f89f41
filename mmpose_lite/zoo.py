"""The model zoo, as the metafiles under ``configs/`` describe it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any

from .paths import config_path, config_root

DETECTOR, GROUND_TRUTH = 'detector', 'ground truth'
NARROW = 'ground truth, one pixel narrower'
"""Where the boxes of a published figure come from.

MMPose up to 0.24, HR-NAS and PaddleDetection take a pixel off both sides of the boxes
of annotations; MMPose 1.x does not.
"""


@dataclass(frozen=True)
class PublishedFile:
    """Weights that somebody published, known by the names of their file.

    Attributes:
        names: What the file is called, without its suffix.
        metrics: What was published for it, as a share of 1; empty where it has the
            figures of its model.
        source: Where the figures stand.
        boxes: Boxes that they were measured with.
        note: What else a reader must know.
        url: Public address, if there is one.
        alias: Name of what has an address, by which it is downloaded.
        sha256: First hexadecimal digits of its digest, if they are known.
    """

    names: tuple[str, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)
    source: str = ''
    boxes: str = DETECTOR
    note: str = ''
    url: str | None = None
    alias: str = ''
    sha256: str = ''


@dataclass(frozen=True)
class Model:
    """A model that can be named; all but the first two are known of the zoo only.

    Attributes:
        name: Of its config, without the suffix.
        config: Path of the config.
        aliases: Short names.
        collection: The family of its paper.
        data: What it is trained on, such as ``'COCO'``.
        size: Input, height x width in px, such as ``'256x192'``.
        params: Number of parameters.
        macs: Multiply-accumulates of one image.
        metrics: Published figures, as a share of 1.
        source: Where they were published.
        weights: Public address of trained weights, if there is one: that of the file by
            whose name the model was found, else that which the metafile prefers.
        files: Published weights, also those without an address.
    """

    name: str
    config: str
    aliases: tuple[str, ...] = ()
    collection: str = ''
    data: str = ''
    size: str = ''
    params: int = 0
    macs: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    source: str = ''
    weights: str | None = None
    files: tuple[PublishedFile, ...] = ()

    @property
    def published(self) -> str:
        """Its published figures in percent, or a dash."""
        return percent(self.metrics) or '–'


@dataclass(frozen=True)
class Collection:
    """What the models of one paper share.

    Attributes:
        name: Of the family.
        title: Of the paper.
        url: Of the paper.
        code: Address of the research code, or ``''``.
        page: The document on it, or ``''``.
        idea: The paper's idea in a few sentences.
        figure: ``Path`` and ``Text`` of its picture, if there is one.
        own: Results of this project.
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
    """One folder of configs: what its metafile says."""

    folder: Path
    collections: tuple[Collection, ...]
    models: tuple[Model, ...]


def percent(metrics: Mapping[str, float]) -> str:
    """Metrics in words, such as ``AP 64.8, AR 71.2``."""
    return ', '.join(f'{name} {100 * value:.1f}' for name, value in metrics.items())


@lru_cache(maxsize=1)
def families() -> tuple[Family, ...]:
    """All families, in the order of ``model-index.yml``."""
    root = config_root().parent
    return tuple(
        _family(root / path) for path in _read(root / 'model-index.yml')['Import']
    )


def list_models(pattern: str = '*') -> tuple[Model, ...]:
    """Models of the zoo, by name.

    Args:
        pattern: Shell pattern for a name or an alias, such as ``'*litehrnet-18*'``;
            case does not matter.
    """
    wanted = pattern.lower()
    found = (
        model
        for family in families()
        for model in family.models
        if any(fnmatch(name, wanted) for name in (model.name, *model.aliases))
    )
    return tuple(sorted(found, key=lambda model: model.name))


def find_model(name: str) -> Model:
    """The model of a zoo name, an alias, public weights, a packaged or own config.

    Args:
        name: Such as ``'xhrnet-s18'``, ``'td-hm_xhrnet-s18_8xb64-210e_coco-256x192'``,
            ``'tinypose-256x192-2021'`` or the path of a config of one's own. Case does
            not matter in names.

    Raises:
        ValueError: If nothing has this name (the message lists the nearest ones).
    """
    wanted = name.lower()
    by_name = {
        known: row for row in list_models() for known in (row.name, *row.aliases)
    }
    by_name |= {
        file.alias: replace(row, weights=file.url)
        for row in list_models()
        for file in row.files
        if file.alias
    }
    if wanted in by_name:
        return by_name[wanted]
    path = Path(name)
    if path.suffix == '.py' and path.is_file():
        return Model(path.stem, str(path))
    try:
        # Configs that are no part of the zoo: demonstrations, small data.
        config = config_path(name)
    except ValueError:
        nearest = difflib.get_close_matches(wanted, by_name, n=5, cutoff=0.4)
        raise ValueError(
            f'there is no model {name!r}, neither by name or alias nor as a config; '
            f'nearest: {", ".join(nearest) or "none"}'
        ) from None
    return Model(Path(config).stem, config)


def public_file(name: str) -> tuple[Model, PublishedFile]:
    """The public weights of a name that :func:`find_model` takes, with their model.

    Raises:
        ValueError: If the name is unknown, or none are public.
    """
    model = find_model(name)
    for file in model.files:
        if file.url is not None and file.url == model.weights:
            return model, file
    raise ValueError(f'weights must be given: no public ones are known of {model.name}')


def _read(path: Path) -> Any:
    import yaml

    # The safe loader in C, where it was built: six times as fast.
    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    return yaml.load(path.read_text(encoding='utf-8'), loader)


def _family(path: Path) -> Family:
    data = _read(path)
    return Family(
        folder=path.parent,
        collections=tuple(map(_collection, data['Collections'])),
        # Metafiles name configs from the folder that holds `configs`.
        models=tuple(_model(row, path.parents[2]) for row in data['Models']),
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


def _model(entry: Mapping[str, Any], root: Path) -> Model:
    data = entry['Metadata']
    results = entry.get('Results', [])
    return Model(
        name=entry['Name'],
        config=str(root / entry['Config']),
        aliases=tuple(entry['Alias']),
        collection=entry['In Collection'],
        data=data['Training Data'],
        size=data['Input Size'],
        params=data['Parameters'],
        macs=data['MACs'],
        metrics={k: v for result in results for k, v in result['Metrics'].items()},
        source=data.get('Published', ''),
        weights=entry.get('Weights'),
        files=tuple(_file(file) for file in entry.get('Published Files', ())),
    )


def _file(entry: Mapping[str, Any]) -> PublishedFile:
    return PublishedFile(
        names=tuple(entry['Names']),
        metrics=entry.get('Metrics', {}),
        source=entry.get('Source', ''),
        boxes=entry.get('Boxes', DETECTOR),
        note=entry.get('Note', ''),
        url=entry.get('URL'),
        alias=entry.get('Alias', ''),
        sha256=entry.get('SHA-256', ''),
    )
