"""A server on loopback that does what a test says; and what becomes of a request to it, sent by us and by httpx."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx

from reconciler.machines_api.connections import Connections

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
LIMITS = httpx.Limits(max_connections=4, max_keepalive_connections=4)


def ours(tls: ssl.SSLContext | None = None) -> httpx.AsyncBaseTransport:
    return Connections(ssl_context=tls, limit=4)


def theirs(tls: ssl.SSLContext | None = None) -> httpx.AsyncBaseTransport:
    return httpx.AsyncHTTPTransport(verify=tls or False, limits=LIMITS, trust_env=False)


@asynccontextmanager
async def serving(handle: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve on loopback during the block, at the URL."""
    under_way: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def handle_to_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way[asyncio.current_task()] = writer
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await handle(reader, writer)

    server = await asyncio.start_server(handle_to_the_end, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in under_way.values():
            writer.transport.abort()
        await asyncio.gather(*(task for task in under_way if task))


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    return await reader.readexactly(int(length[0])) if length else b""


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(ANSWER)


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def outcome(transport: httpx.AsyncBaseTransport, url: str, **options: Any) -> tuple[type, str]:
    """What became of a GET: the type of its error or response, and its text."""
    async with httpx.AsyncClient(transport=transport, timeout=options.pop("timeout", 5)) as client:
        try:
            return httpx.Response, (await client.get(url, **options)).text
        except httpx.HTTPError as error:
            return type(error), str(error)
