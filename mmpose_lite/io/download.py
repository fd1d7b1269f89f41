"""Files from the web: resumed where a connection broke, checked, never in part."""

from __future__ import annotations

import hashlib
import os
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError

from .files import adopt_part, remove_parts

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""
ATTEMPTS = 5
"""Attempts in a row that may bring no byte."""
PAUSE = 1.0
"""Seconds before the second of them; before each further one twice as long."""

_CHUNK = 1 << 16  # bytes
_BUSY = (408, 429, 500, 502, 503, 504)

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and with how many there will be, if known."""


class _BrokenError(Exception):
    """A connection that ended too early, after so many bytes of the file."""

    def __init__(self, reason: object, there: int = 0) -> None:
        super().__init__(f'the connection broke after {there} bytes ({reason})')
        self.there = there


def download(
    url: str,
    target: str | os.PathLike[str],
    *,
    sha256: str = '',
    limit: int = 1 << 30,
    progress: Progress | None = None,
) -> None:
    """Fetch a file from an ``http`` or ``https`` address.

    Proxies are those of the environment. What a broken connection, or a killed process,
    left is continued if the server still has the same file.

    Args:
        url: The address.
        target: Where to; an older file there is replaced. Its folder must exist.
        sha256: First hexadecimal digits of its digest, as many as are known.
        limit: Bytes; a larger file is refused.
        progress: See :data:`Progress`.

    Raises:
        OSError: If it cannot be had (the message has the address), is too large, or the
            folder cannot be written to.
        ValueError: If it is not the file of this digest.
    """
    target, idle, most = Path(target), 0, 0
    while True:
        there = 0
        try:
            part = _attempt(url, target, limit, progress)
            break
        except HTTPError as error:
            problem, again = f'{error.code} {error.reason}', error.code in _BUSY
        except URLError as error:  # no connection at all
            problem, again = str(error.reason), isinstance(error.reason, TimeoutError)
        except _BrokenError as error:
            problem, again, there = str(error), True, error.there
        idle = 0 if there > most else idle + 1
        most = max(there, most)
        if not again or idle >= ATTEMPTS:
            raise OSError(f'{url}: {problem}')
        time.sleep(PAUSE * 2**idle)
    found = digest(part)
    if not found.startswith(sha256):
        part.unlink()
        raise ValueError(f'{url}: its SHA-256 is {found}, expected {sha256}…')
    os.replace(part, target)
    remove_parts(target.parent)


def digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    found = hashlib.sha256()
    with open(path, 'rb') as file:
        while data := file.read(_CHUNK):
            found.update(data)
    return found.hexdigest()


def _attempt(url: str, target: Path, limit: int, progress: Progress | None) -> Path:
    """Receive what is missing; returns the complete part."""
    answer, mode = _open(url), 'wb'
    size = answer.headers.get('Content-Length')
    total = None if size is None else int(size)
    if (total or 0) > limit:
        answer.close()
        raise OSError(f'{url} has {total} bytes, expected at most {limit}')
    # Only the same version of a file may be continued, so its mark is in the name.
    mark = answer.headers.get('ETag') or answer.headers.get('Last-Modified') or ''
    version = zlib.crc32(f'{mark} {total}'.encode())
    part = adopt_part(target.with_name(f'{target.name}-{version:08x}'))
    begun = part.stat().st_size if mark and total and part.exists() else 0
    if begun and begun == total:
        answer.close()
        return part
    if begun:
        answer.close()
        answer = _open(url, {'Range': f'bytes={begun}-', 'If-Range': mark})
        place = answer.headers.get('Content-Range', '')
        if answer.status == 206 and place.startswith(f'bytes {begun}-'):
            mode = 'ab'
    with answer, open(part, mode) as file:
        there = file.tell()
        for data in _chunks(answer, there):
            there += file.write(data)
            if there > limit:
                raise OSError(f'{url} has more than {limit} bytes')
            if progress is not None:
                progress(there, total)
    if total is not None and there != total:
        raise _BrokenError(f'{total} were announced', there)
    return part


def _open(url: str, headers: Mapping[str, str] | None = None) -> HTTPResponse:
    """The answer to a request, redirections followed."""
    headers = {'User-Agent': 'mmpose_lite', **(headers or {})}
    # An opener of its own reads the environment's proxies anew.
    opener = urllib.request.build_opener()
    try:
        answer = opener.open(
            urllib.request.Request(url, headers=headers), None, TIMEOUT
        )
    except URLError:
        raise
    except (OSError, HTTPException) as error:
        raise _BrokenError(repr(error)) from error
    if url.startswith('https:') and not answer.url.startswith('https:'):
        answer.close()
        raise OSError(f'{url} redirects to {answer.url}, which is not encrypted')
    return answer


def _chunks(answer: HTTPResponse, there: int) -> Iterator[bytes]:
    """An answer's content; ``there`` bytes of the file are had already."""
    try:
        while data := answer.read(_CHUNK):
            there += len(data)
            yield data
    except (HTTPException, OSError) as error:
        raise _BrokenError(repr(error), there) from error
