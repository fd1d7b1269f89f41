"""Random numbers as a function of how far a run is, not of how it came there.

A resumed run has another history than an undisturbed one: its data loader's workers are
younger, its global generators have drawn other numbers. So the generators are seeded
again wherever a run can begin: at every epoch in the main process, and at every sample
where data is loaded. The latter also makes the number of workers immaterial.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

STEPS, SAMPLES, LOADER = range(3)
"""What a stream of random numbers is for: the model's steps, data, the loader."""

_GENERATORS = (
    random.Random,
    np.random.Generator,
    np.random.RandomState,
    torch.Generator,
)
_GLOBAL = (random._inst, np.random.mtrand._rand, torch.default_generator)
_LEAVES = (str, bytes, int, float, complex, type, np.ndarray, torch.Tensor)
# Attributes of datasets that hold annotations: large, and data only.
_ANNOTATIONS = ('data_list', 'data_bytes', 'data_address', '_metainfo')


def seed_all(*key: int, devices: bool = True) -> None:
    """Seed Python, NumPy and torch; every key of integers is an independent stream.

    With ``devices`` torch's generators of CUDA and other accelerators are seeded too.
    """
    words = np.random.SeedSequence(key).generate_state(8)
    random.seed(words[:2].tobytes())
    np.random.seed(words[2:6])
    number = int(words[6]) << 32 | int(words[7])
    (torch.manual_seed if devices else torch.default_generator.manual_seed)(number)


class SeededFetch:
    """A data set's samples, each loaded with a random stream of its own.

    torch's data loader calls ``dataset.__getitems__`` where there is one, in the worker
    that loads the batch; an instance of this class takes that place.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        # In memory that persistent workers share, as they begin only once.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Let every process that loads data know the epoch; none may be loading."""
        self._epoch.fill_(epoch)

    def __call__(self, indices: Sequence[int]) -> list[Any]:
        """The samples at some places in the data set.

        Without workers the generators are left as they were found: the model draws from
        them too.
        """
        if get_worker_info() is not None:
            return [self._load(index) for index in indices]
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        try:
            return [self._load(index) for index in indices]
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])

    def _load(self, index: int) -> Any:
        place = operator.index(index)
        seed_all(self.seed, SAMPLES, int(self._epoch), place, devices=False)
        return self.dataset[index]


class SeededLoader:
    """A data loader whose every random number follows from (seed, epoch).

    The samples follow from (seed, epoch, index): neither the number of workers nor that
    of processes plays a part. The loader, torch's in batches of a map-style data set,
    is changed.

    Raises:
        ValueError: If the loader, called ``name``, cannot be steered so.
    """

    def __init__(self, loader: DataLoader, seed: int, name: str) -> None:
        dataset: Any = loader.dataset
        if isinstance(dataset, IterableDataset) or loader.batch_sampler is None:
            raise ValueError(
                f'{name} has batch_size={loader.batch_size} and a data set of type '
                f'{type(dataset).__name__}; only batches of a data set with indices '
                'can be seeded'
            )
        self.loader = loader
        self.seed = seed
        # Two loaders may share a data set.
        fetch = getattr(dataset, '__getitems__', None)
        if not isinstance(fetch, SeededFetch) or fetch.seed != seed:
            fetch = dataset.__getitems__ = SeededFetch(dataset, seed)
        self._fetch = fetch
        # torch draws a number from here whenever it starts workers, which a resumed run
        # does at another epoch: it must not come from the model's stream.
        loader.generator = torch.Generator()

    def begin(self, epoch: int) -> None:
        """Prepare an epoch; to be called before the loader is iterated."""
        self._fetch.set_epoch(epoch)
        self.loader.generator.manual_seed(self.seed + epoch)

    @property
    def sampler(self) -> Any:
        """What decides the order and holds a ``seed``, or None."""
        batches = self.loader.batch_sampler
        holders = self.loader.sampler, getattr(batches, 'sampler', None), batches
        seeded = (h for h in holders if isinstance(getattr(h, 'seed', None), int))
        return next(seeded, None)

    def order_is_repeatable(self) -> bool:
        """Whether the same epoch has the same order when it is begun twice."""
        batches: Any = self.loader.batch_sampler
        orders = []
        for _ in range(2):
            seed_all(self.seed, LOADER)
            orders.append(list(islice(iter(batches), len(batches))))
        return orders[0] == orders[1]

    def own_generators(self) -> list[str]:
        """Where the data set keeps random generators that nobody seeds again."""
        return list(_find_generators(self.loader.dataset, 'dataset', set()))


def _find_generators(value: Any, path: str, seen: set[int]) -> Iterator[str]:
    if isinstance(value, (*_LEAVES, SeededFetch)) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, _GENERATORS):
        if not any(value is known for known in _GLOBAL):
            yield path
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _find_generators(child, f'{path}[{key!r}]', seen)
    elif isinstance(value, (list, tuple)):
        for place, child in enumerate(value):
            yield from _find_generators(child, f'{path}[{place}]', seen)
    else:
        for name, child in getattr(value, '__dict__', {}).items():
            if name not in _ANNOTATIONS:
                yield from _find_generators(child, f'{path}.{name}', seen)
