"""Data sets that pass over damaged samples instead of ending a run."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator
from typing import Any

import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from torch.utils.data import get_worker_info

from ...io.images import image_facts

_WRITERS = 33  # the process itself, and workers; more of them share places


class Failures:
    """At most ``limit`` samples that failed, known to every process that loads data."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        # Workers cannot tell each other names, but they share this memory. Each writes
        # to a row of its own, so that two never claim one place.
        self._hashes = torch.zeros((_WRITERS, limit), dtype=torch.int64).share_memory_()

    def __contains__(self, name: str) -> bool:
        return bool((self._hashes == _hash(name)).any())

    def __len__(self) -> int:
        return len(self._hashes[self._hashes != 0].unique())

    def add(self, name: str) -> bool:
        """Note a failure; False if there are too many already."""
        if len(self) >= self.limit:
            return False
        worker = get_worker_info()
        row = self._hashes[0 if worker is None else 1 + worker.id % (_WRITERS - 1)]
        row[(row == 0).nonzero()[0]] = _hash(name)
        return True


def _hash(name: str) -> int:
    """A number other than 0, the same in every process."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, 'little', signed=True) or 1


class GuardedPipeline:
    """A data set's pipeline that returns None for samples which must not be learnt.

    MMEngine's ``BaseDataset`` then takes another sample at random, so that neither the
    number of steps nor samplers change. None is returned for

    - images and persons whose ids were found damaged beforehand,
    - images that cannot be read, and
    - samples with a not-a-number or infinity in what the model would get;

    the latter two are logged once. In validation they end the run, with a message that
    names file and id, as every other failure does.
    """

    def __init__(
        self,
        pipeline: Any,
        failures: Failures,
        images: Collection[int] = frozenset(),
        persons: Collection[int] = frozenset(),
        test_mode: bool = False,
    ) -> None:
        self.pipeline = pipeline
        self.failures = failures
        self.images = frozenset(images)
        self.persons = frozenset(persons)
        self.test_mode = test_mode

    def __getattr__(self, name: str) -> Any:
        # Whoever looks for the transforms of a Compose finds them.
        if name.startswith('__') or name == 'pipeline':
            raise AttributeError(name)
        return getattr(self.pipeline, name)

    def __call__(self, data: dict[str, Any]) -> Any:
        """One sample, or None."""
        path, number = data.get('img_path'), data.get('id')
        name = f'{path} (annotation {number})'
        if not self.test_mode and (
            self._is_refused(data.get('img_id'), number)
            or str(path) in self.failures
            or name in self.failures
        ):
            return None
        try:
            packed = self.pipeline(data)
        except Exception as error:
            reason = _why_unreadable(path)
            if reason is None or self.test_mode:
                raise RuntimeError(f'{name}: {reason or error!r}') from error
            return self._pass_over(str(path), reason)
        if packed is None or self.test_mode:
            return packed
        for wrong in _not_finite(packed):
            return self._pass_over(name, f'{wrong} is not finite after the pipeline')
        return packed

    def _is_refused(self, image: Any, persons: Any) -> bool:
        given = persons if isinstance(persons, (list, tuple)) else (persons,)
        known = not isinstance(image, list) and image in self.images
        return known or not self.persons.isdisjoint(given)

    def _pass_over(self, name: str, reason: str) -> None:
        """Say so; stop where so many fail that the disk or the pipeline is broken."""
        if not self.failures.add(name):
            raise RuntimeError(
                f'more than {self.failures.limit} samples failed while training; the '
                f'last is {name}: {reason}'
            )
        # The processes other than the first log nothing below this level.
        text = f'left out from now on: {name}: {reason}'
        print_log(text, 'current', logging.ERROR)


def _why_unreadable(path: Any) -> str | None:
    """Why an image cannot be used; None if it can, so that it is not at fault."""
    if not isinstance(path, str) or '://' in path:
        return None
    try:
        image_facts(path, decode=True)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def _not_finite(value: Any, name: str = '') -> Iterator[str]:
    if isinstance(value, torch.Tensor):
        if value.is_floating_point() and not value.isfinite().all():
            yield name
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _not_finite(part, str(key))
    elif isinstance(value, BaseDataElement):
        # Only what became a tensor is what losses are made of.
        yield from _not_finite(dict(value.items()))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _not_finite(part, name)


def datasets_of(dataset: Any) -> Iterator[BaseDataset]:
    """A loader's data set and those within it (concatenated, repeated, combined)."""
    if isinstance(dataset, BaseDataset):
        yield dataset
    for part in (*getattr(dataset, 'datasets', ()), getattr(dataset, 'dataset', None)):
        yield from datasets_of(part) if part is not None else ()
