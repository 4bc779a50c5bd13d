"""A server between a client and the engine that says too much: it quotes whatever a request was sent with.

Errors, where it is told to give some, repeat the request's headers and body; every reply has hostile headers. The
nonces of all leases that pass are noted.
"""

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HOSTILE_ID = "01HX\x1b[31m::error::request"


@dataclass
class Reflecting:
    """`fails` decides by the request's number and line whether it is answered by an error, of which status; `says` by
    the line and the token whether by what no API says: the body and its content type.
    """

    engine_url: str
    fails: Any = lambda _number, _line: None
    says: Any = lambda _line, _token: None
    nonces: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes, str]:
        with self.lock:
            self.requests.append(f"{method} {path}")
            status = self.fails(len(self.requests), f"{method} {path}")
        if status:
            quotes = [repr(headers), body.decode()][:: 1 if len(self.requests) % 2 else -1]
            said = f"invalid_argument: \x1b[2J\n::error::quoted {quotes[0]} {quotes[1]}"
            return status, json.dumps({"error": said}).encode(), "application/json"
        if said := self.says(f"{method} {path}", headers.get("authorization", headers.get("Authorization", ""))):
            return 200, said[0].encode(), said[1]
        parts = urlsplit(self.engine_url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=90)
        try:
            connection.request(method, path, body=body or None, headers=headers)
            reply = connection.getresponse()
            content = reply.read()
            self.nonces |= set(re.findall(r'"nonce":\s*"([^"]+)"', content.decode("utf-8", "replace")))
            return reply.status, content, reply.headers.get("content-type", "application/json")
        finally:
            connection.close()


@contextmanager
def reflecting(engine_url: str) -> Iterator[Reflecting]:
    """The server, on a free port of loopback, for the block."""
    server = Reflecting(engine_url=engine_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            kept = {key: value for key, value in self.headers.items() if key.lower() not in {"host", "connection"}}
            status, content, kind = server.answer(self.command, self.path, kept, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("fly-request-id", HOSTILE_ID + self.headers.get("authorization", ""))
            self.send_header("Set-Cookie", "fly_flaps_affinity=canary-cookie; Path=/")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *_values: object) -> None:
            del format

    for method in ("GET", "POST", "DELETE", "PUT", "PATCH"):
        setattr(Handler, f"do_{method}", Handler._serve)
    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
