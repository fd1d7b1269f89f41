"""Stand-in for setuptools' ``pkg_resources``: what mim and mmengine ask of it.

It answers from :mod:`importlib.metadata`; names and behaviour are those of setuptools.
"""

from __future__ import annotations

from importlib import metadata

from packaging.version import parse as parse_version

__all__ = ['DistributionNotFound', 'get_distribution', 'parse_version', 'working_set']


class DistributionNotFound(Exception):
    """The distribution that was asked for is not installed."""


class _Distribution:
    """A distribution that is installed."""

    def __init__(self, found: metadata.Distribution) -> None:
        self.project_name = found.metadata['Name']
        self.version = found.version
        self.location = str(found.locate_file(''))
        self._read = found.read_text

    def has_metadata(self, name: str) -> bool:
        return self._read(name) is not None

    def get_metadata(self, name: str) -> str:
        text = self._read(name)
        if text is None:
            raise FileNotFoundError(f'{self.project_name} has no {name}')
        return text


def get_distribution(name: str) -> _Distribution:
    """An installed distribution by its name.

    Raises:
        DistributionNotFound: If it is not installed.
    """
    try:
        return _Distribution(metadata.distribution(name))
    except metadata.PackageNotFoundError as error:
        raise DistributionNotFound(f"the distribution '{name}' is missing") from error


working_set = [_Distribution(found) for found in metadata.distributions()]
