"""Names of the model zoo: what they stand for, which are near an unknown one."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmengine.fileio import load

from ..paths import config_path, config_root


@dataclass(frozen=True)
class ZooModel:
    """A model that can be named.

    Attributes:
        name: Of its config, or what the user gave.
        config: Path of the config.
        aliases: Short names, from the family's metafile.
        weights: Public address of trained weights, if there is one.
    """

    name: str
    config: str
    aliases: tuple[str, ...] = ()
    weights: str | None = None


@lru_cache(maxsize=1)
def zoo_models() -> tuple[ZooModel, ...]:
    """Every model that a metafile lists, in the order of names."""
    root = config_root()
    rows = [row for path in root.glob('*/metafile.yml') for row in load(path)['Models']]
    models = (
        ZooModel(
            name=row['Name'],
            # Metafiles name configs from the folder that holds `configs`.
            config=str(root.parent / row['Config']),
            aliases=_listed(row.get('Alias')),
            weights=next(iter(_listed(row.get('Weights'))), None),
        )
        for row in rows
    )
    return tuple(sorted(models, key=lambda model: model.name))


def _listed(value: Any) -> tuple[str, ...]:
    """What a metafile gives as one string, as a list or not at all."""
    return (value,) if isinstance(value, str) else tuple(value or ())


def find_model(name: str) -> ZooModel:
    """The model of a zoo name, an alias, a packaged config or a config file.

    Args:
        name: Such as ``'xhrnet-s18'``, ``'td-hm_xhrnet-s18_8xb64-210e_coco-256x192'``
            or the path of a config of one's own. Case does not matter in names.

    Raises:
        ValueError: If nothing has this name (the message lists the nearest ones).
    """
    wanted = name.lower()
    by_name = {known: row for row in zoo_models() for known in (row.name, *row.aliases)}
    if wanted in by_name:
        return by_name[wanted]
    path = Path(name)
    if path.suffix == '.py' and path.is_file():
        return ZooModel(path.stem, str(path))
    try:
        # Configs that are no part of the zoo: demonstrations, small data.
        config = config_path(name)
    except ValueError:
        nearest = difflib.get_close_matches(wanted, by_name, n=5, cutoff=0.4)
        raise ValueError(
            f'there is no model {name!r}, neither by name or alias nor as a config; '
            f'nearest: {", ".join(nearest) or "none"}'
        ) from None
    return ZooModel(Path(config).stem, config)
