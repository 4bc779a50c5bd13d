"""Requests over our own connections: they do what httpx's own transport does, in good and in bad times."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.machines_api.connections import Connections, open_http

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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", f"{file}.crt"]
    subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True, timeout=30)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_tls_is_spoken_with_a_server_that_is_trusted(certificate: Path, server_tls: ssl.SSLContext) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with serving(answer, server_tls) as url:
        assert await outcome(ours(trusting), url) == (httpx.Response, "[]")


async def test_tls_with_another_server_fails_as_it_does_in_httpx(server_tls: ssl.SSLContext) -> None:
    async with serving(answer, server_tls) as url:
        found = await outcome(ours(httpx.create_ssl_context()), url)
        assert found == await outcome(theirs(httpx.create_ssl_context()), url)
        assert found[0] is httpx.ConnectError
        assert "certificate" in found[1]


async def test_tls_with_a_server_that_speaks_none_fails_as_it_does_in_httpx(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with serving(say_what_is_no_http_at_once) as url:
        found = await outcome(ours(trusting), url.replace("http:", "https:"))
        assert found == await outcome(theirs(trusting), url.replace("http:", "https:"))
        assert found[0] is httpx.ConnectError


async def say_what_is_no_http_at_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello\r\n")
    writer.close()


async def test_a_large_answer_over_tls_comes_whole(certificate: Path, server_tls: ssl.SSLContext) -> None:
    body = bytes(range(256)) * 20_000

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)  # which ends with the connection
        await writer.drain()
        writer.close()

    trusting = ssl.create_default_context(cafile=str(certificate))
    async with serving(send, server_tls) as url, httpx.AsyncClient(transport=ours(trusting)) as client:
        assert (await client.get(url)).content == body


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
