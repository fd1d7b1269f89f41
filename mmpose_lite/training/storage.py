"""A storage backend of mmengine that writes whole files and deletes late."""

from __future__ import annotations

import os
from collections.abc import Collection

from mmengine.fileio import LocalBackend, register_backend

from ..io.files import write_atomically

BACKEND = 'mmpose_lite.atomic'


@register_backend(BACKEND, force=True)
class AtomicBackend(LocalBackend):
    """Local files that appear whole, and disappear only when one says so.

    ``backend_args=dict(backend='mmpose_lite.atomic')`` is how mmengine takes it.

    Attributes:
        outdated: Paths that were to be removed and are still there.
    """

    def __init__(self) -> None:
        self.outdated: list[str] = []

    def put(self, obj: bytes, filepath: str | os.PathLike[str]) -> None:
        """Write a file under a temporary name, sync it, rename it, sync the folder.

        Args:
            obj: The content.
            filepath: Where to; missing folders are made.

        Raises:
            OSError: If it cannot be written (a full disk, for example); what was there
                before is untouched.
        """
        path = os.fspath(filepath)
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        try:
            write_atomically(path, obj, sync=True)
        except OSError as error:
            raise OSError(
                error.errno,
                f'{error.strerror}: {len(obj) / 1e6:.1f} MB could not be written, '
                'older files are untouched',
                path,
            ) from error

    def remove(self, filepath: str | os.PathLike[str]) -> None:
        """Note a file for :meth:`remove_outdated`."""
        self.outdated.append(os.fspath(filepath))

    def remove_outdated(
        self, folder: str | os.PathLike[str], keep: Collection[str]
    ) -> None:
        """Remove the noted files that are still there.

        Args:
            folder: Only what lies here is removed. (A checkpoint names files by path: a
                run that goes on in a copied folder would remove the original's.)
            keep: Names of files that are in use again and stay.
        """
        for path in self.outdated:
            parent, name = os.path.split(path)
            if name in keep or not os.path.isfile(path):
                continue
            if os.path.samefile(parent or '.', folder):
                os.unlink(path)
        self.outdated = []
