"""Open the connections to an API, and send each request over an idle one.

`Connections` is what httpx calls a transport, over httpcore's connections, but not over its pool. That looks at each of
its connections before and after each request, and asks the system whether the idle ones are closed: with ten at once, a
third of the work.
"""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

import httpcore
import httpx

from reconciler.errors import TargetError
from reconciler.http import has_proxies, is_loopback, why_certificates_are_unusable, why_proxy_is_unusable
from reconciler.machines_api.access import authorization_header
from reconciler.machines_api.network import AsyncioBackend
from reconciler.machines_api.remedies import CERTIFICATES_HINT, PROXY_HINT
from reconciler.model.secret import Secret

if TYPE_CHECKING:
    import ssl

_AT_ONCE: Final = 32
_KEPT_S: Final = 5.0  # how long an idle connection is kept, as httpx does
_ERRORS: Final = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


def open_http(
    base_url: str, token: Secret | None, *, user_agent: str, transport: httpx.AsyncBaseTransport | None
) -> httpx.AsyncClient:
    """Open the connections to an API.

    They go through the proxy that the environment names for it; to a loopback address they never do. Raises TargetError
    for one that cannot be used, and for CA certificates that cannot be read.
    """
    headers = {"User-Agent": user_agent, "Accept": "application/json"}
    if token:
        headers["Authorization"] = authorization_header(token)
    try:
        return httpx.AsyncClient(
            base_url=base_url,
            headers=headers,
            transport=transport or open_directly(base_url),
            verify=not base_url.startswith("http://"),
            limits=httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE),
        )
    except OSError as error:
        raise _unusable_certificates(error) from error
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise TargetError(why_proxy_is_unusable(error), hint=PROXY_HINT) from error


def open_directly(base_url: str) -> "Connections | None":
    """Open connections to an API; None where the environment names a proxy.

    Raises TargetError.
    """
    if not is_loopback(base_url) and has_proxies():
        return None
    # Loading the CA certificates takes as long as five calls, and is not needed without TLS.
    try:
        ssl_context = httpx.create_ssl_context() if base_url.startswith("https://") else None
    except OSError as error:
        raise _unusable_certificates(error) from error
    return Connections(ssl_context=ssl_context, limit=_AT_ONCE)


def _unusable_certificates(error: OSError) -> TargetError:
    return TargetError(why_certificates_are_unusable(error), hint=CERTIFICATES_HINT)


async def exchange(
    http: httpx.AsyncClient, direct: httpx.AsyncBaseTransport | None, request: httpx.Request
) -> httpx.Response:
    """Send the request, and return the reply whole.

    Over `direct`, if it is there: all that the client does for us besides is to keep the cookies and to log.
    """
    if direct is None:
        return await http.send(request)
    reply = await direct.handle_async_request(request)
    reply.request = request
    if "set-cookie" in reply.headers:
        http.cookies.extract_cookies(reply)
    await reply.aread()
    log = logging.getLogger("httpx")
    if log.isEnabledFor(logging.INFO):
        words = reply.http_version, reply.status_code, reply.reason_phrase
        log.info('HTTP Request: %s %s "%s %d %s"', request.method, request.url, *words)
    return reply


class Connections(httpx.AsyncBaseTransport):
    """Send requests over HTTP/1.1, without a proxy, at most `limit` at once.

    Each answer is read whole before it is returned.
    """

    def __init__(self, *, ssl_context: "ssl.SSLContext | None", limit: int) -> None:
        self._ssl_context = ssl_context
        self._places = asyncio.Semaphore(limit)
        self._idle: deque[httpcore.AsyncHTTPConnection] = deque()  # the one that was used last is the last
        self._busy: set[httpcore.AsyncHTTPConnection] = set()
        self._is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._enter(request)
        try:
            if self._is_closed:
                raise RuntimeError("the connections were closed")
            return await self._send(request)
        except _ERRORS as error:
            raise _error_of_httpx(error) from error
        finally:
            self._places.release()

    async def aclose(self) -> None:
        self._is_closed = True
        for connection in (*self._idle, *self._busy):
            await connection.aclose()
        self._idle.clear()

    async def _enter(self, request: httpx.Request) -> None:
        """Wait for a place."""
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(request.extensions.get("timeout", {}).get("pool")):
                await self._places.acquire()
        except TimeoutError as error:
            raise httpx.PoolTimeout(str(error)) from error

    async def _send(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        sent = httpcore.Request(
            method=request.method,
            url=target,
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        connection = await self._connection(target.origin)
        self._busy.add(connection)
        try:
            reply = await connection.handle_async_request(sent)
            content = await reply.aread()
            await reply.aclose()
        finally:
            self._busy.discard(connection)
            if connection.is_available() and not self._is_closed:
                self._idle.append(connection)
            elif not connection.is_closed():
                await connection.aclose()
        return httpx.Response(
            status_code=reply.status,
            headers=reply.headers,
            content=content,
            extensions=reply.extensions,
        )

    async def _connection(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        """Return the connection that was used last, if it is still open; else a new one.

        The one that has been idle for longest is closed once it is out of use.
        """
        while self._idle:
            connection = self._idle.pop()
            if connection.can_handle_request(origin) and not connection.has_expired():
                if self._idle and self._idle[0].has_expired():
                    await self._idle.popleft().aclose()
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(
            origin=origin,
            ssl_context=self._ssl_context,
            keepalive_expiry=_KEPT_S,
            network_backend=AsyncioBackend(),
        )


def _error_of_httpx(error: Exception) -> httpx.TransportError:
    """Return the error of httpx that has the same name."""
    found: type[httpx.TransportError] = getattr(httpx, type(error).__name__)
    return found(str(error))
