"""TLS over our own connections: it does what httpx's own transport does, on both kinds of loops that apps have."""

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support.raw_server import answer, hang, ours, outcome, read_request, serving, theirs

pytestmark = pytest.mark.usefixtures("real_time")


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


async def test_a_server_that_never_answers_to_tls_ends_with_the_time_that_is_given(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    timeout = httpx.Timeout(5, connect=0.05)
    async with serving(hang) as url:
        found = await outcome(ours(trusting), url.replace("http:", "https:"), timeout=timeout)
        assert found == await outcome(theirs(trusting), url.replace("http:", "https:"), timeout=timeout)
        assert found[0] is httpx.ConnectTimeout


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
