"""Serve the engine as an ASGI application, for clients in this process."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from reconciler.engine.faults.rules import ConnectionLost
from reconciler.engine.http.messages import MAX_BODY, NoReply, Request, Respond, StreamingResponse

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


def asgi_app(respond: Respond) -> ASGIApp:
    """Return the application.

    It raises ConnectionLost where a fault cuts the connection.
    """

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        headers = [(name.lower(), value) for name, value in scope["headers"]]
        request = Request(scope["method"], scope["path"], scope["query_string"], headers, await _content(receive))
        response = await respond(request)
        if isinstance(response, NoReply):
            raise ConnectionLost(is_refused=response.is_refused)
        sent = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.header_items()]
        await send({"type": "http.response.start", "status": response.status_code, "headers": sent})
        if isinstance(response, StreamingResponse) and request.method != "HEAD":
            async for chunk in response.chunks:
                await send({"type": "http.response.body", "body": chunk.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else response.body})

    return serve


async def _content(receive: Receive) -> bytes | None:
    """Return the body; None where it is too long."""
    content, is_more = bytearray(), True
    while is_more:
        message = await receive()
        is_more = bool(message.get("more_body"))
        if len(content) <= MAX_BODY:
            content += message.get("body", b"")
    return bytes(content) if len(content) <= MAX_BODY else None
