"""A server on loopback that knows one thing: the lists of a stack's apps, in pages. Its answers are made beforehand.

It runs in threads of the benchmark's own process, so the CPU of commands that ask it is theirs alone.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from benchmarks.answers import list_answer, next_cursor
from reconciler.model.spec import Spec

LIMIT = 1000  # of a page

Pages = dict[tuple[str, str], tuple[bytes, str | None]]


@contextmanager
def serve_lists(spec: Spec) -> Iterator[str]:
    """Serve what the platform lists right after the spec was applied; the URL has no `/v1`."""
    pages: Pages = {}
    for app in spec.apps:
        cursor: str | None = "0"
        while cursor is not None:
            first, path = int(cursor), f"/v1/apps/{app.name}/machines"
            cursor = next_cursor(app, first, LIMIT)
            pages[path, str(first)] = list_answer(spec, app, first, LIMIT), cursor
    server = _Server(("127.0.0.1", 0), _Lists)
    server.pages = pages
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    pages: Pages
    daemon_threads = True
    request_queue_size = 128


class _Lists(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        cursor = parse_qs(asked.query).get("cursor", ["0"])[0]
        if page := self.server.pages.get((asked.path, cursor)):
            self._answer(200, *page)
        else:
            self._answer(404, b'{"error": "404 page not found"}', None)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, code: int, body: bytes, after: str | None) -> None:
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if after:
            self.send_header("fly-next-cursor", after)
        self.end_headers()
        self.wfile.write(body)
