"""Exchange one request with a registry or its token server.

Time and size are limited, and redirects are followed without credentials.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import urljoin, urlsplit

import httpx

from reconciler.errors import RegistryError, RegistryErrorKind
from reconciler.hidden import HidesFields
from reconciler.http import is_loopback, why_certificates_are_unusable, why_proxy_is_unusable

_TIMEOUT_S: Final = 10.0
_REDIRECTS: Final = 5
_REDIRECTING: Final = frozenset({301, 302, 303, 307, 308})


class Answer(HidesFields, frozen=True, kw_only=True):
    """A reply. `challenges` is the header that says how to log in."""

    _hidden = frozenset({"content"})

    status: int
    content: bytes
    challenges: str = ""


class Connection:
    """Keep connections open.

    Keep no cookies, and use no proxy for this machine itself.
    """

    def __init__(self, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport
        self._clients: dict[bool, httpx.AsyncClient] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def get(
        self,
        url: str,
        *,
        accept: str,
        limit: int,
        authorization: str | None = None,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the reply after redirects. A `form` is sent by POST.

        The authorization is sent only to the first host. Raises RegistryError if there is no connection, no reply in
        time, or one of more than `limit` bytes.
        """
        home = _origin(url)
        for _ in range(_REDIRECTS + 1):
            headers = {"Accept": accept, "User-Agent": "machines-reconciler"}
            if authorization and _origin(url) == home:
                headers["Authorization"] = authorization
            status, found, content = await self._send(url, headers, query, form, limit)
            location = found.get("location", "")
            if status not in _REDIRECTING or not location:
                return Answer(status=status, content=content, challenges=found.get("www-authenticate", ""))
            target = urljoin(url, location)
            if urlsplit(target).scheme != "https" and not (is_loopback(target) and is_loopback(url)):
                raise _error(url, "it redirects to an address without encryption", RegistryErrorKind.NOT_A_REGISTRY)
            url, query, form = target, None, None
        raise _error(url, "it redirects too often", RegistryErrorKind.NOT_A_REGISTRY)

    async def _send(
        self,
        url: str,
        headers: dict[str, str],
        query: Mapping[str, str] | None,
        form: Mapping[str, str] | None,
        limit: int,
    ) -> tuple[int, httpx.Headers, bytes]:
        client = self._client(url)
        client.cookies.clear()
        request = client.build_request("POST" if form else "GET", url, headers=headers, params=query, data=form)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                reply = await client.send(request, stream=True)
                try:
                    content = bytearray()
                    async for chunk in reply.aiter_bytes():
                        content += chunk
                        if len(content) > limit:
                            raise _error(url, f"it sends more than {limit} bytes", RegistryErrorKind.NOT_A_REGISTRY)
                finally:
                    await reply.aclose()
        except TimeoutError as error:
            raise _error(url, "no answer in time", RegistryErrorKind.UNREACHABLE) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise _error(url, _words(error), RegistryErrorKind.UNREACHABLE) from error
        return reply.status_code, reply.headers, bytes(content)

    def _client(self, url: str) -> httpx.AsyncClient:
        is_local = is_loopback(url)
        if is_local not in self._clients:
            try:
                self._clients[is_local] = httpx.AsyncClient(
                    transport=self._transport, trust_env=not is_local, timeout=_TIMEOUT_S
                )
            except OSError as error:
                why = why_certificates_are_unusable(error)
                raise _error(url, why, RegistryErrorKind.UNREACHABLE) from error
            except (ImportError, ValueError, httpx.InvalidURL) as error:
                raise _error(url, why_proxy_is_unusable(error), RegistryErrorKind.UNREACHABLE) from error
        return self._clients[is_local]


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _error(url: str, why: str, kind: RegistryErrorKind) -> RegistryError:
    hint = "check the image's name, the network and the proxy; RECONCILER_RESOLVE=never asks no registry"
    return RegistryError(f"registry {urlsplit(url).netloc}: {why}", kind=kind, hint=hint)


def _words(error: Exception) -> str:
    """Return the kind of failure; the error's own text may quote secrets."""
    return {"ConnectError": "no connection", "ConnectTimeout": "no connection in time"}.get(
        type(error).__name__, f"the exchange failed ({type(error).__name__})"
    )
