"""Public weights by name: fetched when asked for, checked, converted, kept.

They lie in ``weights/NAME`` below ``MMPOSE_LITE_HOME``, if that is set, else below
``mmpose_lite`` in the user's cache (``XDG_CACHE_HOME``): the file as it was published,
and ``NAME.pth`` for MMPose. With ``MMPOSE_LITE_MIRROR`` set, ``https://HOST/PATH`` is
asked for at ``MIRROR/HOST/PATH``.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .checkpoints import convert_file, fetch, geometry_of, read_checkpoint, translate
from .checkpoints.pdparams import is_pdparams
from .io.download import digest, download
from .zoo import Model, PublishedFile, list_models, public_file

HOME, MIRROR = 'MMPOSE_LITE_HOME', 'MMPOSE_LITE_MIRROR'
SCHEME = 'mmpose_lite://'
"""Before a name, where a path would be taken for granted."""

_LOCK = threading.Lock()


def weights_folder(file: PublishedFile) -> Path:
    """Where a file is kept, or would be."""
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    home = Path(os.environ.get(HOME) or cache / 'mmpose_lite')
    return home / 'weights' / file.alias


def weights_path(file: PublishedFile) -> Path:
    """Where the converted weights of a file are kept, or would be."""
    return weights_folder(file) / f'{file.alias}.pth'


def public_files() -> Iterator[tuple[Model, PublishedFile]]:
    """All weights that have an address, with their models."""
    for model in list_models():
        yield from ((model, file) for file in model.files if file.url)


def fetch_weights(name: str) -> Path:
    """File of public weights for MMPose; downloaded, checked and converted if need be.

    Args:
        name: Of a model, which stands for one of its files, or of a file, such as
            ``'tinypose-256x192-2021'``.

    Returns:
        Path of the converted file; its ``meta`` says where it came from and what
        geometry it was trained with.

    Raises:
        OSError: If it cannot be had (the message says where the file can be put).
        ValueError: If the name is unknown, no weights are public, or the file is not
            the one that was published.
    """
    model, file = public_file(name)
    target, folder = weights_path(file), weights_folder(file)
    with _LOCK:
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            original = folder / Path(str(file.url)).name
            was_there = original.exists()
            if not was_there:
                _download(model, file, original)
            try:
                _convert(model, file, original, target)
            except ValueError:
                if not was_there:
                    original.unlink(missing_ok=True)
                raise
    return target


def verify_weights(file: PublishedFile) -> str:
    """What is wrong with a file that is kept; empty if nothing is.

    Its content must be what was published, where that is known, and what was
    downloaded; the converted one must be whole and made of it.
    """
    target = weights_path(file)
    try:
        meta = read_checkpoint(target)['meta']
        original = weights_folder(file) / Path(str(file.url)).name
        found = digest(original) if original.exists() else meta['sha256']
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f'{error}; remove {target.parent} and download it again'
    if found != meta['sha256'] or not found.startswith(file.sha256):
        expected = file.sha256 if meta['sha256'] == found else meta['sha256']
        return f'SHA-256 of {original} is {found}, expected {expected}'
    return ''


def locate_weights(where: str | os.PathLike[str]) -> str:
    """Path of a checkpoint.

    Args:
        where: Path, ``http`` address, or a name of public weights, with or without
            :data:`SCHEME`. A file of that name comes first.

    Raises:
        OSError: If it cannot be downloaded, or is neither a file nor a name.
        ValueError: See :func:`fetch_weights`.
    """
    where = os.fspath(where)
    if where.startswith(SCHEME):
        return str(fetch_weights(where.removeprefix(SCHEME)))
    # A path with neither folder nor suffix may be a name.
    if Path(where).name != where or Path(where).suffix or Path(where).exists():
        return fetch(where)
    try:
        public_file(where)
    except ValueError as error:
        what = f'No such file, and {error}'
        raise FileNotFoundError(errno.ENOENT, what, where) from None
    return str(fetch_weights(where))


def read_weights(path: str | os.PathLike[str]) -> Any:
    """Content of a checkpoint file; Paddle's is converted, with what is known of it.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is damaged, or of no known layout.
    """
    content = read_checkpoint(path)
    if not is_pdparams(path):
        return content
    done = translate(content)
    return {'state_dict': done.state_dict, 'meta': {'converted_from': done.layout.name}}


def register_loaders(execute: Callable[[], None]) -> None:
    """Let mmengine load public weights by name, and Paddle's files.

    Args:
        execute: Imports ``mmengine.runner.checkpoint`` (see
            :func:`mmpose_lite.compat.when_imported`).
    """
    execute()
    from mmengine.runner import checkpoint

    loader = checkpoint.CheckpointLoader
    theirs = loader._schemes['']

    # The names end in what mmengine's log says of them.
    def load_from_local(filename: str, map_location: Any = None) -> Any:
        path = locate_weights(os.path.expanduser(filename))
        if os.path.isfile(path) and is_pdparams(path):
            return read_weights(path)
        return theirs(path, map_location)

    if getattr(theirs, '__module__', '') != __name__:
        loader.register_scheme('', load_from_local, force=True)
        loader.register_scheme(SCHEME, load_from_local, force=True)


def _download(model: Model, file: PublishedFile, target: Path) -> None:
    url = str(file.url)
    mirror = os.environ.get(MIRROR)
    address = f'{mirror.rstrip("/")}/{url.partition("://")[2]}' if mirror else url
    shown = sys.stderr.isatty()

    def show(there: int, total: int | None) -> None:
        of = f' of {total / 2**20:.1f}' if total else ''
        sys.stderr.write(f'\r{file.alias}: {there / 2**20:.1f}{of} MiB')

    try:
        download(
            address,
            target,
            sha256=file.sha256,
            limit=8 * model.params + (64 << 20),
            progress=show if shown else None,
        )
    except OSError as error:
        kept = [one.alias for _, one in public_files() if weights_path(one).exists()]
        raise OSError(
            f'{file.alias} cannot be downloaded ({error}); the file may also be put '
            f'into {target.parent}; no download needs: {", ".join(kept) or "none"}'
        ) from error
    finally:
        if shown:
            sys.stderr.write('\n')


def _convert(model: Model, file: PublishedFile, original: Path, target: Path) -> None:
    """Make the file for MMPose of the one that was published."""
    from mmengine.config import Config

    found = digest(original)
    if not found.startswith(file.sha256):
        raise ValueError(
            f'{original} is not {file.url}: its SHA-256 is {found}, expected '
            f'{file.sha256}…'
        )
    notes = {
        'geometry': geometry_of(Config.fromfile(model.config)),
        'boxes': file.boxes,
        'source': file.url,
        'sha256': found,
    }
    convert_file(original, target, notes=notes)
