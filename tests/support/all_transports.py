"""Answer what is sent over any transport, those of the Machines API and those of registries."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from reconciler.machines_api.connections import Connections

Handle = Callable[[object, httpx.Request], Awaitable[httpx.Response]]
# As they are, for a test that lets the network be as it is.
REAL = {kind: kind.handle_async_request for kind in (Connections, httpx.AsyncHTTPTransport)}


def answer_all(monkeypatch: pytest.MonkeyPatch, handle: Handle) -> None:
    """Let `handle` answer each request instead of the network."""
    for kind in REAL:
        monkeypatch.setattr(kind, "handle_async_request", handle)


def answer_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the network answer again."""
    for kind, handle in REAL.items():
        monkeypatch.setattr(kind, "handle_async_request", handle)
