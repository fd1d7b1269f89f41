"""Which model of the zoo a file of weights belongs to, by its name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.metafiles import DETECTOR, GROUND_TRUTH, Model, PublishedFile

SUFFIXES = ('.pth', '.pt', '.safetensors', '.tar')
# What names hold beside the model: recipes, dates, hashes, how far training went.
_NOISE = re.compile(
    r'td|hm|best|ap|pck|final|last|latest|state|model|checkpoint|weights|converted|'
    r'20\d{6}|[0-9a-f]{8}|\d+xb\d+|\d+e'
)
_COUNT = re.compile(r'(?:epoch|iter)[-_]?\d+')
_SIZE = re.compile(r'(?<!\d)(128|256|384)[-_x](96|192|256|288)(?!\d)')


@dataclass(frozen=True)
class Label:
    """What a name says: the model's words run together, data set and input size."""

    words: str
    data: str | None
    size: str | None


@dataclass(frozen=True)
class Found:
    """A file, the model it belongs to, and what was published for it.

    Args:
        path: The file.
        model: Row of the zoo.
        file: The published file that has this very name, if there is one.
    """

    path: Path
    model: Model
    file: PublishedFile | None

    @property
    def metrics(self) -> Mapping[str, float]:
        """Published figures, as a share of 1: of the file, else of its model."""
        return (self.file and self.file.metrics) or self.model.metrics

    @property
    def source(self) -> str:
        """Where they stand, and what must be known about them."""
        if self.file and self.file.metrics:
            return '; '.join(filter(None, (self.file.source, self.file.note)))
        return self.model.source

    @property
    def boxes(self) -> str:
        """Boxes that they were measured with."""
        if self.model.data == 'MPII':
            return GROUND_TRUTH
        return self.file.boxes if self.file else DETECTOR


def read_label(name: str) -> Label:
    """What a name, of a file or a model, says."""
    text = _COUNT.sub(' ', name.lower())
    size = _SIZE.search(text)
    words = re.findall(r'[a-z0-9]+', _SIZE.sub(' ', text))
    data = next((word.upper() for word in words if word in ('coco', 'mpii')), None)
    kept = (w for w in words if w not in ('coco', 'mpii') and not _NOISE.fullmatch(w))
    return Label(''.join(kept), data, f'{size[1]}x{size[2]}' if size else None)


def weight_files(folder: Path) -> list[Path]:
    """Files below a folder whose suffix is one of weights.

    Raises:
        ValueError: If there is no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise ValueError(f'--weights {folder} is no folder')
    files = sorted(path for path in folder.rglob('*') if path.suffix in SUFFIXES)
    if not files:
        raise ValueError(
            f'--weights {folder} holds no weights; allowed are names that end in '
            f'{", ".join(SUFFIXES)}'
        )
    return files


def assign(path: Path, models: Sequence[Model]) -> Found:
    """The model that a file belongs to.

    A name, alias or published name of a model, however it is punctuated, decides. Else
    the words must be those of one model, with the input size and data set, if they are
    named, that it has. Files with names that many have, such as ``epoch_210.pth``, go
    by the folder they lie in.

    Args:
        path: The file.
        models: Of the zoo.

    Raises:
        ValueError: If no model, or more than one, can be meant (the message names the
            nearest ones, or those that can).
    """
    name = path.name.removesuffix('.tar').rpartition('.')[0] or path.stem
    if not read_label(name).words:
        name = path.parent.name
    exact = [one for one in models if _plain(name) in map(_plain, _names(one))]
    label = read_label(name)
    alike = exact or [
        one
        for one in models
        if label.words in {read_label(known).words for known in _names(one)}
        and label.size in (None, one.size)
        and label.data in (None, one.data)
    ]
    if len(alike) == 1:
        return Found(path, alike[0], _published(name, alike[0]))
    if alike:
        can = ', '.join(one.aliases[0] for one in alike)
        raise ValueError(f'can be any of {can}: name the file after one of them')
    known = {alias: one for one in models for alias in one.aliases}
    near = difflib.get_close_matches(name.lower().replace('_', '-'), known, cutoff=0.4)
    raise ValueError(f'no model has such a name; nearest: {", ".join(near) or "none"}')


def _names(model: Model) -> Iterator[str]:
    """Everything that a model is called."""
    yield from (model.name, *model.aliases)
    for file in model.files:
        yield from file.names


def _plain(name: str) -> str:
    """A name without case and punctuation; the x of a size is such, too."""
    return re.sub(r'[^a-z0-9]', '', _SIZE.sub(r'\1\2', name.lower()))


def _published(name: str, model: Model) -> PublishedFile | None:
    """The published file of that very name."""
    return next(
        (f for f in model.files if _plain(name) in map(_plain, f.names)),
        None,
    )
