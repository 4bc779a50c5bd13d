"""Requests over our own connections: they do what httpx's own transport does, in good and in bad times.

On both kinds of loops that apps have.
"""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from reconciler.machines_api.connections import Connections, exchange, open_http
from tests.support.raw_server import ANSWER, Handler, answer, hang, ours, outcome, read_request, serving, theirs

pytestmark = pytest.mark.usefixtures("real_time")


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.close()


async def say_half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(ANSWER[:-1])
    writer.close()


async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.transport.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: send a reset
    writer.transport.abort()


async def say_what_is_no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"hello\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(
    ("handle", "expected"),
    [
        (answer, httpx.Response),
        (say_nothing, httpx.RemoteProtocolError),
        (say_half, httpx.RemoteProtocolError),
        (break_off, httpx.ReadError),
        (say_what_is_no_http, httpx.RemoteProtocolError),
    ],
)
async def test_what_a_server_does_is_told_as_httpx_tells_it(handle: Handler, expected: type) -> None:
    async with serving(handle) as url:
        found = await outcome(ours(), url)
        assert found == await outcome(theirs(), url)
    assert found[0] is expected


async def test_a_server_that_cannot_be_reached_is_told_as_httpx_tells_it() -> None:
    async with serving(answer) as url:
        pass
    found = await outcome(ours(), url)
    assert found == await outcome(theirs(), url) == (httpx.ConnectError, "All connection attempts failed")


@contextmanager
def deaf(port: int = 0) -> Iterator[int]:
    """An address that answers no connection, 127.0.0.2, at the port: as many wait there as may."""
    with ExitStack() as sockets:
        listening = sockets.enter_context(socket.socket())
        listening.bind(("127.0.0.2", port))
        listening.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


async def test_an_address_that_does_not_answer_ends_with_the_time_that_is_given() -> None:
    timeout = httpx.Timeout(5, connect=0.05)
    with deaf() as port:
        found = await outcome(ours(), f"http://127.0.0.2:{port}", timeout=timeout)
        assert found == await outcome(theirs(), f"http://127.0.0.2:{port}", timeout=timeout)
    assert found[0] is httpx.ConnectTimeout


async def test_the_next_address_of_a_host_is_tried_while_the_first_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def resolve(_host: Any, port: int, **_options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    async with serving(answer) as url:
        port = int(url.rpartition(":")[2])
        with deaf(port):
            assert await outcome(ours(), f"http://two.test:{port}") == (httpx.Response, "[]")


async def test_a_host_without_an_address_is_told_as_httpx_tells_it() -> None:
    found = await outcome(ours(), "http://nowhere.invalid")
    assert found == await outcome(theirs(), "http://nowhere.invalid")
    assert found[0] is httpx.ConnectError


async def test_an_answer_that_does_not_come_ends_with_the_time_that_is_given() -> None:
    async with serving(hang) as url:
        found = await outcome(ours(), url, timeout=httpx.Timeout(5, read=0.05))
        assert found == await outcome(theirs(), url, timeout=httpx.Timeout(5, read=0.05)) == (httpx.ReadTimeout, "")


async def test_a_connection_is_used_again() -> None:
    opened = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        await answer(reader, writer)

    async with serving(count) as url, httpx.AsyncClient(transport=ours()) as client:
        for _ in range(3):
            assert (await client.get(url)).json() == []
        assert len(opened) == 1
        await asyncio.gather(*(client.get(url) for _ in range(4)))
        assert 1 < len(opened) <= 4


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again() -> None:
    closed = asyncio.Event()

    async def close_after_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ANSWER)
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with serving(close_after_one) as url, httpx.AsyncClient(transport=ours()) as client:
        for _ in range(3):
            assert (await client.get(url)).json() == []
            await closed.wait()
            closed.clear()


async def test_large_bodies_go_both_ways() -> None:
    body = bytes(range(256)) * 20_000

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        content = await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
        await writer.drain()
        writer.close()

    async with serving(echo) as url, httpx.AsyncClient(transport=ours()) as client:
        assert (await client.post(url, content=body)).content == body


async def test_a_server_that_takes_nothing_ends_a_write_with_the_time_that_is_given() -> None:
    async def take_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await done.wait()
        writer.close()

    done = asyncio.Event()
    timeout = httpx.Timeout(5, write=0.05)
    async with serving(take_nothing) as url, httpx.AsyncClient(transport=ours(), timeout=timeout) as client:
        with pytest.raises(httpx.WriteTimeout):
            await client.post(url, content=bytes(30_000_000))
        done.set()


async def test_a_call_that_is_cancelled_leaves_the_others_their_connections() -> None:
    arrived = asyncio.Queue[None]()

    async def tell_and_hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.put_nowait(None)
        await hang(reader, writer)

    async with serving(tell_and_hang) as slow, serving(answer) as url, httpx.AsyncClient(transport=ours()) as client:
        for _ in range(8):  # twice as many as there may be connections
            call = asyncio.create_task(client.get(slow))
            await arrived.get()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert (await client.get(url)).json() == []


async def test_more_calls_than_connections_wait_for_one() -> None:
    async with serving(hang) as url, httpx.AsyncClient(transport=ours(), timeout=httpx.Timeout(5, pool=0.05)) as client:
        calls = [asyncio.create_task(client.get(url)) for _ in range(5)]
        [ended], others = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert isinstance(ended.exception(), httpx.PoolTimeout)
        for call in others:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_a_call_is_logged_as_httpx_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(answer) as url, httpx.AsyncClient(base_url=url, transport=ours()) as client:
        for direct in (client._transport, None):
            await exchange(client, direct, client.build_request("GET", "/v1/apps?x=1"))
        assert not caplog.messages
        caplog.set_level(logging.INFO, logger="httpx")
        for direct in (client._transport, None):
            await exchange(client, direct, client.build_request("GET", "/v1/apps?x=1"))
        assert caplog.messages == [f'HTTP Request: GET {url}/v1/apps?x=1 "HTTP/1.1 200 OK"'] * 2


@pytest.mark.parametrize("name", ["https_proxy", "HTTP_PROXY", "all_proxy"])
def test_where_a_proxy_is_named_httpx_itself_sends(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for other in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(other, raising=False)
        monkeypatch.delenv(other.upper(), raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:3128")
    far, near = (open_http(url, None, user_agent="x", transport=None) for url in ("http://far.test", "http://[::1]:1"))
    assert isinstance(far._transport, httpx.AsyncHTTPTransport)
    assert isinstance(near._transport, Connections)
    monkeypatch.setenv(name, "")
    monkeypatch.setattr("sys.platform", "linux")
    assert isinstance(open_http("http://far.test", None, user_agent="x", transport=None)._transport, Connections)
