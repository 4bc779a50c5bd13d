"""The page at the engine's root, for a person. It holds no data: what it shows it asks for, with the token."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from reconciler.engine.engine import Engine
from reconciler.engine.http.routes.base import Endpoint
from reconciler.engine.server.event_stream import stream_events

_INLINE: Final = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


@cache
def dashboard_page() -> tuple[str, str]:
    """The page, and the policy that lets a browser run what is in it and nothing else."""
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


DASHBOARD: Final = Endpoint("GET", "/", "page", _dashboard)
EVENT_STREAM: Final = Endpoint("GET", "/engine/happenings", "happenings", _events)
