"""Counted and exported networks that are kept, so that only timing needs quiet."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

import mmpose_lite
from mmpose_lite.io.files import atomic_file, write_atomically
from mmpose_lite.paths import config_root

from .pose_costs import Costs
from .pose_plan import Plan, versions

Costing = dict[str, Costs]
References = dict[int, list[np.ndarray]]


def place(folder: Path, plan: Plan) -> Path:
    """Where networks of this very code, these packages and this image size are kept."""
    height, width = plan.setting.image_size
    digest = hashlib.sha256(repr(versions()).encode())
    for root in (
        Path(mmpose_lite.__file__).parent,
        config_root(),
        Path(__file__).parent,
    ):
        for path in sorted(root.rglob('*.py')):
            digest.update(path.read_bytes())
    return folder / f'{height}x{width}_{digest.hexdigest()[:16]}'


def keep(folder: Path, name: str, costs: Costing, references: References) -> None:
    """Write what was counted of a network, and what it computes."""
    for batch, outputs in references.items():
        with atomic_file(folder / f'{name}_{batch}.npz') as file:
            np.savez(file, *outputs)
    data = {form: asdict(one) for form, one in costs.items()}
    write_atomically(folder / f'{name}.json', json.dumps(data, indent=1).encode())


def find(
    folder: Path, name: str, batches: tuple[int, ...]
) -> tuple[Costing, References] | None:
    """What was kept of a network; None if something is missing."""
    path = folder / f'{name}.json'
    arrays = {batch: folder / f'{name}_{batch}.npz' for batch in batches}
    if not all(file.is_file() for file in (path, *arrays.values())):
        return None
    data = json.loads(path.read_text(encoding='utf-8'))
    references: References = {}
    for batch, file in arrays.items():
        with np.load(file) as kept:
            references[batch] = [kept[key] for key in kept.files]  # in their order
    return {form: Costs(**one) for form, one in data.items()}, references
