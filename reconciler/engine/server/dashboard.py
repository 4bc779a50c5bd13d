"""The dashboard at the engine's root, and the event stream that it shows.

The page itself holds no data, so it needs no token: its script asks for the stream, with the token.
"""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from functools import cache
from typing import Any, Final

from reconciler.engine.engine import Engine
from reconciler.engine.http.messages import Request, Response, StreamingResponse
from reconciler.engine.http.routes.base import Endpoint
from reconciler.engine.machines.wait import ANY
from reconciler.engine.models import LogEntry
from reconciler.engine.server.machine_view import machine_view

_SCRIPTS: Final = ("list.js", "detail.js", "stream.js")
_LINES_AT_ONCE: Final = 500
_HEARTBEAT_S: Final = 15.0
_LONGEST_LINE: Final = 4000


@cache
def dashboard_page() -> tuple[str, str]:
    """Return the page, with style and script in it, and its Content-Security-Policy.

    The policy allows only this script and this style, and no text that becomes HTML.
    """
    from importlib.resources import files

    folder = files("reconciler.engine.server").joinpath("page")
    style = folder.joinpath("page.css").read_text()
    script = '"use strict";\n' + "".join(folder.joinpath(name).read_text() for name in _SCRIPTS)
    page = folder.joinpath("page.html").read_text()
    page = page.replace("<style></style>", f"<style>{style}</style>")
    page = page.replace("<script></script>", f"<script>{script}</script>")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
    return page, policy


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


async def _dashboard(_engine: Engine, _request: Request) -> Response:
    text, policy = dashboard_page()
    headers = {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(text, headers=headers, media_type="text/html")


async def _events(engine: Engine, _request: Request) -> Response:
    return StreamingResponse(stream_events(engine), media_type="application/x-ndjson")


async def stream_events(engine: Engine) -> AsyncIterator[str]:
    """Yield all machines, then changed machines and new log lines, as lines of JSON.

    `{"ready": true}` comes after all machines. An empty line every 15 seconds keeps the connection open. A slow
    reader gets the newest state of a machine, not each state in between. Ends with the engine.
    """
    changed: dict[str, None] = {}
    unsubscribe = engine.subscribe(lambda machine: changed.update({machine.id: None}))
    number = engine.store.log_table.newest()
    try:
        for machine in engine.store.machines():
            if not machine.is_destroyed:
                yield _line({"machine": machine_view(engine, machine)})
        yield _line({"ready": True})
        while not engine.watchers.is_closing:
            if not await engine.watchers.until(ANY, lambda: bool(changed) or None, _HEARTBEAT_S):
                yield "\n"
                continue
            pending = list(changed)
            changed.clear()
            for machine_id in pending:
                if found := engine.store.machine(machine_id):
                    yield _line({"machine": machine_view(engine, found)})
            while entries := engine.store.log_table.since(number, _LINES_AT_ONCE):
                number = entries[-1].sequence
                yield "".join(_line({"log": _log_json(entry)}) for entry in entries)
    finally:
        unsubscribe()


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def _log_json(entry: LogEntry) -> dict[str, Any]:
    return {
        "machine": entry.machine_id,
        "number": entry.sequence,
        "stream": entry.stream or entry.provider,
        "at_ms": entry.timestamp_ns // 1_000_000,
        "message": entry.message[:_LONGEST_LINE],
    }


DASHBOARD: Final = Endpoint("GET", "/", "page", _dashboard)
EVENT_STREAM: Final = Endpoint("GET", "/engine/happenings", "happenings", _events)
