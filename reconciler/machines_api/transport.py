"""Send a call over HTTP: throttle it, repeat it if harmless, parse the reply.

It handles all that can go wrong in an exchange, and knows nothing of machines.
"""

import asyncio
import json
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from typing import Any, Final, TypeVar

import httpx
from msgspec import Struct

from reconciler.canonical.sections import secret_values
from reconciler.clock import Clock
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.http import is_by_proxy
from reconciler.machines_api.calls import Call, NewApps, delay_before_retry
from reconciler.machines_api.connections import exchange, open_directly, open_http
from reconciler.machines_api.errors import (
    conceal,
    error_from_reply,
    error_of_answer,
    error_without_reply,
    shorten,
)
from reconciler.machines_api.remedies import ENGINE_HINTS, PROXY_FAILED, READ_HINT
from reconciler.machines_api.throttle import Throttle
from reconciler.machines_api.values import MalformedError, json_of, members_of
from reconciler.model.concealment import OftenConcealed, token_parts
from reconciler.model.secret import Secret

T = TypeVar("T")

_CONNECT_TIMEOUT_S: Final = 5.0
_HEADER_SHOWN: Final = 60
_REQUEST_ID: Final = "fly-request-id"
_LEASE_HEADER: Final = b"fly-machine-lease-nonce"
_URLS_KEPT: Final = 64


class TraceEntry(Struct, frozen=True, kw_only=True):
    """One exchange, for `--trace-http`, without headers and bodies.

    `status` is None if no answer came.
    """

    method: str
    path: str
    status: int | None
    duration_s: float
    request_id: str | None


class Transport:
    """Send calls to one base URL.

    One cookie jar: the platform's affinity cookie gives read-your-writes. `relocate` is called when the server cannot
    be reached, and returns its new base URL, or None.
    """

    def __init__(
        self,
        *,
        base_url: str,
        token: Secret | None,
        clock: Clock,
        user_agent: str,
        throttle: Throttle,
        new_apps: NewApps,
        rate_patience_s: float,
        transport: httpx.AsyncBaseTransport | None,
        trace: Callable[[TraceEntry], None] | None,
        relocate: Callable[[], str | None] | None = None,
    ) -> None:
        self._clock = clock
        self._relocate = relocate
        self._throttle = throttle
        self._new_apps = new_apps
        self._rate_patience_s = rate_patience_s
        self._trace = trace
        self._tokens = OftenConcealed(token_parts(token.reveal()) if token else ())
        self._parsed = lru_cache(maxsize=_URLS_KEPT)(httpx.URL)
        self._direct = transport or open_directly(base_url)
        self._http = open_http(base_url, token, user_agent=user_agent, transport=self._direct)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def send(self, call: Call, read: Callable[[Any], T]) -> T:
        """Send the call and return what `read` makes of the reply's JSON.

        Raises ApiError, after all harmless repeats.
        """
        bucket = self._throttle.bucket(call.action, call.identifier)
        ticket = await bucket.pass_through()
        began = self._clock.monotonic()
        refused_at: float | None = None  # when the server first refused it by its rate limit
        attempt = 0
        while True:
            attempt += 1
            _tell_flight(call, is_under_way=True)
            try:
                return await self._send_once(call, read)
            except ApiError as error:
                _tell_flight(call, is_under_way=error.is_unclear)
                if error.kind is ApiErrorKind.UNREACHABLE and self._relocate and (url := self._relocate()):
                    self._http.base_url = url
                delay_s = delay_before_retry(
                    error.kind,
                    is_repeatable=call.is_repeatable,
                    attempt=attempt,
                    elapsed_s=self._clock.monotonic() - began,
                    rate_patience_s=self._rate_patience_s,
                    retry_after_s=error.retry_after_s,
                    jitter=_jitter(),
                )
                is_limited = error.kind is ApiErrorKind.RATE_LIMITED
                if is_limited and delay_s is not None:
                    bucket.hold(delay_s)
                if delay_s is None:
                    delay_s = self._until_known(call, error)
                if delay_s is None or call.is_sent_once:
                    if call.method == "GET" and error.kind is ApiErrorKind.UNCLEAR:
                        error.hint = READ_HINT
                    if self._relocate:
                        error.hint = ENGINE_HINTS.get(error.kind, error.hint)
                    raise
            finally:
                ticket.answered()
            if not is_limited:
                await self._clock.sleep(delay_s)
            elif refused_at is None:
                refused_at = self._clock.monotonic()
            ticket = await bucket.pass_through(since=refused_at)

    async def find(
        self, call: Call, read: Callable[[Any], T], *, none_there: Collection[ApiErrorKind] = (ApiErrorKind.NOT_FOUND,)
    ) -> T | None:
        """Send the call like `send`.

        Return None for an error of a kind in `none_there`: it does not exist.
        """
        try:
            return await self.send(call, read)
        except ApiError as error:
            if error.kind in none_there:
                return None
            raise

    def _until_known(self, call: Call, error: ApiError) -> float | None:
        """Return the seconds until the call is repeated because its app is new.

        None for other calls, and for calls under a lease.
        """
        if call.app is None or call.nonce:
            return None
        return self._new_apps.delay_s(call.app, error, is_repeatable=call.is_repeatable)

    async def _send_once(self, call: Call, read: Callable[[Any], T]) -> T:
        began = self._clock.monotonic()
        reply: httpx.Response | None = None
        try:
            # httpx limits each read, not the whole exchange: a server that sends a byte now and then would block us.
            async with asyncio.timeout(call.timeout_s + _CONNECT_TIMEOUT_S):
                reply = await exchange(self._http, self._direct, self._request(call))
            # The stream is read, and refers to the reply: no page of a list is to wait for the garbage collection.
            reply.stream = httpx.ByteStream(b"")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            raise self._unreached(call, error) from error
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise self._unanswered(call, error, ApiErrorKind.BAD_INPUT) from error
        except TimeoutError as error:
            raise self._unanswered(call, TimeoutError("no answer in time"), ApiErrorKind.UNCLEAR) from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._unanswered(call, error, ApiErrorKind.UNCLEAR) from error
        finally:
            self._tell(call, reply, self._clock.monotonic() - began)
        return self._understood(call, reply, read)

    def _request(self, call: Call) -> httpx.Request:
        http, content = self._http, None
        headers = http.headers.raw
        if call.nonce:
            headers.append((_LEASE_HEADER, call.nonce.reveal().encode()))
        if call.body is not None:
            headers.append((b"Content-Type", b"application/json"))
            content = json.dumps(call.body, separators=(",", ":"), ensure_ascii=False).encode()
        timeout = httpx.Timeout(call.timeout_s, connect=min(_CONNECT_TIMEOUT_S, call.timeout_s))
        query = f"?{httpx.QueryParams(call.query)}" if call.query else ""
        url = self._parsed(f"{str(http.base_url).rstrip('/')}{call.path}{query}")
        # What `build_request` makes, in half of its time.
        extensions = {"timeout": timeout.as_dict()}
        return httpx.Request(
            call.method, url, content=content, headers=headers, cookies=http.cookies or None, extensions=extensions
        )

    def _understood(self, call: Call, reply: httpx.Response, read: Callable[[Any], T]) -> T:
        if not reply.is_success:
            raise error_from_reply(
                call.what,
                reply.status_code,
                reply.content,
                reply.headers,
                now=self._clock.now(),
                app=call.app,
                secrets=self._secrets(call),
                forms=self._tokens.forms_of,
            )
        if call.on_headers:
            call.on_headers(reply.headers)
        if not call.has_reply:
            return read(None)
        # Half a reply to a write leaves its effect unclear; half a reply to a read only says that this is not the API.
        kind = ApiErrorKind.NOT_AN_API if call.method == "GET" else ApiErrorKind.UNCLEAR
        try:
            return read((members_of if call.is_list else json_of)(reply.content))
        except MalformedError as error:
            why = f"the answer is not understood: expected {error}"
        except ValueError:
            if reply.content.lstrip()[:1] in {b"{", b"["}:
                kind = ApiErrorKind.UNCLEAR  # it began as JSON, and is truncated
            why = f"the answer is not JSON ({self._header(call, reply, 'content-type') or 'no content type'})"
        raise error_of_answer(
            self._concealed(call, call.what),
            self._concealed(call, why),
            kind,
            status=reply.status_code,
            request_id=self._header(call, reply, _REQUEST_ID),
        )

    def _unreached(self, call: Call, cause: Exception) -> ApiError:
        """Return the error of a call of which nothing was sent."""
        url = str(self._http.base_url)
        if isinstance(cause, httpx.ProxyError) or is_by_proxy(url):
            cause = httpx.ProxyError(f"{PROXY_FAILED}{cause}")
        return self._unanswered(call, cause, ApiErrorKind.UNREACHABLE, what=f"{call.what}: cannot reach {url}")

    def _unanswered(self, call: Call, cause: Exception, kind: ApiErrorKind, *, what: str | None = None) -> ApiError:
        """Return the error of a call without a reply.

        Its cause may quote the request, so its text is masked.
        """
        return error_without_reply(
            self._concealed(call, what or call.what), self._concealed(call, str(cause)) or type(cause).__name__, kind
        )

    def _concealed(self, call: Call, text: str) -> str:
        return conceal(text, self._secrets(call), self._tokens.forms_of)

    def _secrets(self, call: Call) -> Iterator[str]:
        """Yield the secret values of the call, which no error may show."""
        yield from self._tokens
        if call.nonce:
            yield call.nonce.reveal()
        yield from secret_values(call.body)
        yield from (cookie.value for cookie in self._http.cookies.jar if cookie.value)

    def _tell(self, call: Call, reply: httpx.Response | None, duration_s: float) -> None:
        if self._trace:
            status = reply.status_code if reply else None
            self._trace(
                TraceEntry(
                    method=call.method,
                    path=call.path,
                    status=status,
                    duration_s=duration_s,
                    request_id=self._header(call, reply, _REQUEST_ID) if reply else None,
                )
            )

    def _header(self, call: Call, reply: httpx.Response, name: str) -> str | None:
        return shorten(self._concealed(call, reply.headers.get(name, "")), _HEADER_SHOWN) or None


def _jitter() -> float:
    import random  # hardly a call is repeated

    return random.random()


def _tell_flight(call: Call, *, is_under_way: bool) -> None:
    if call.on_flight:
        call.on_flight(is_under_way)
