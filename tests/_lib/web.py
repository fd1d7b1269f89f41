"""A web server on this machine that misbehaves as told."""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """Files by path, faults by path, and what was asked for.

    Attributes:
        files: Path to content.
        faults: Path to what is wrong, first with the first request: ``('cut', n)`` ends
            the connection after ``n`` bytes, ``('length', n)`` announces so many more,
            ``('status', code)``, ``('redirect', path)``, ``('endless',)``.
        seen: Path and ``Range`` of every request.
        marks: Whether files have an ``ETag``.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[tuple]] = defaultdict(list)
        self.seen: list[tuple[str, str | None]] = []
        self.marks = True
        self.url = ''


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    site: Site

    def log_message(self, *args) -> None:
        pass

    def do_GET(self) -> None:
        site, wanted = self.site, self.headers.get('Range')
        path = self.path
        if '://' in path:  # asked as a proxy
            path = '/' + path.partition('://')[2]
        site.seen.append((path, wanted))
        kind, *rest = site.faults[path].pop(0) if site.faults[path] else ('none',)
        if kind == 'status' or kind == 'redirect' or path not in site.files:
            status = rest[0] if kind == 'status' else 302 if kind == 'redirect' else 404
            self.send_response(status)
            if kind == 'redirect':
                self.send_header('Location', rest[0])
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        content = site.files[path]
        mark = f'"{hash(content)}"'
        begin = 0
        if wanted and self.headers.get('If-Range') == mark:
            begin = int(wanted.removeprefix('bytes=').rstrip('-'))
        self.send_response(206 if begin else 200)
        if begin:
            whole = f'bytes {begin}-{len(content) - 1}/{len(content)}'
            self.send_header('Content-Range', whole)
        if site.marks:
            self.send_header('ETag', mark)
        content = content[begin:]
        extra = rest[0] if kind == 'length' else 0
        if kind == 'endless':
            self.send_header('Transfer-Encoding', 'chunked')
        else:
            self.send_header('Content-Length', str(len(content) + extra))
        self.end_headers()
        try:
            while kind == 'endless':
                self.wfile.write(b'10000\r\n' + bytes(1 << 16) + b'\r\n')
            self.wfile.write(content[: rest[0]] if kind == 'cut' else content)
        except OSError:  # whoever asked has gone
            pass
        self.close_connection = kind in ('cut', 'length', 'endless')


@contextmanager
def serving():
    """A :class:`Site` that is reachable at its ``url``."""
    site = Site()
    handler = type('Handler', (_Handler,), dict(site=site))
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *args: None  # whoever asked has gone
    site.url = f'http://127.0.0.1:{server.server_address[1]}'
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
