"""The dashboard at the engine's root, and the event stream that it shows.

The page itself holds no data, so it needs no token: its script asks for the stream, with the token.
"""

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from reconciler.engine.engine import Engine
from reconciler.engine.http import serializers
from reconciler.engine.http.routes.base import Endpoint
from reconciler.engine.machines.wait import ANY
from reconciler.engine.models import LogEntry, Machine

_INLINE: Final = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)
_LINES_AT_ONCE: Final = 500
_HEARTBEAT_S: Final = 15.0
_EVENTS: Final = 12
_LONGEST_LINE: Final = 4000


@cache
def dashboard_page() -> tuple[str, str]:
    """Return the page and its Content-Security-Policy: only its own script and style."""
    text = files("reconciler.engine.server").joinpath("dashboard.html").read_text()
    hashes = {
        kind: base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        for kind, content in _INLINE.findall(text)
    }
    policy = f"script-src 'sha256-{hashes['script']}'; style-src 'sha256-{hashes['style']}'"
    return text, f"default-src 'none'; {policy}; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"


async def _dashboard(_engine: Engine, _request: Request) -> Response:
    text, policy = dashboard_page()
    headers = {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(text, headers=headers)


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
                yield _line({"machine": _machine_json(engine, machine)})
        yield _line({"ready": True})
        while not engine.watchers.is_closing:
            if not await engine.watchers.until(ANY, lambda: bool(changed) or None, _HEARTBEAT_S):
                yield "\n"
                continue
            pending = list(changed)
            changed.clear()
            for machine_id in pending:
                if found := engine.store.machine(machine_id):
                    yield _line({"machine": _machine_json(engine, found)})
            while entries := engine.store.log_table.since(number, _LINES_AT_ONCE):
                number = entries[-1].sequence
                yield "".join(_line({"log": _log_json(entry)}) for entry in entries)
    finally:
        unsubscribe()


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def _machine_json(engine: Engine, machine: Machine) -> dict[str, Any]:
    """Return what the dashboard shows of a machine: no values of variables or files."""
    check_results = engine.check_results.of(machine) or {}
    body = serializers.machine_json(machine, None, engine.settings.behaviour, is_summary=True)
    keys = ("id", "name", "state", "region", "version", "created_at", "updated_at", "cordoned")
    return {key: body[key] for key in keys} | {
        "app": machine.app,
        "image": str(machine.config.get("image") or ""),
        "starts": machine.runs,
        "checks": [{"name": name, "status": one.status, "output": one.output} for name, one in check_results.items()],
        "events": [serializers.event_json(event) for event in machine.events[:_EVENTS]],
    }


def _log_json(entry: LogEntry) -> dict[str, Any]:
    return {
        "machine": entry.machine_id,
        "stream": entry.stream or entry.provider,
        "at_ms": entry.timestamp_ns // 1_000_000,
        "message": entry.message[:_LONGEST_LINE],
    }


DASHBOARD: Final = Endpoint("GET", "/", "page", _dashboard)
EVENT_STREAM: Final = Endpoint("GET", "/engine/happenings", "happenings", _events)
