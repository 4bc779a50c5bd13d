"""Send a call and return the answer as it came, whatever its status.

For probes that ask what a server does. Everything else uses the client, which decides what an answer means.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

import httpx
from msgspec import Struct

from reconciler.clock import Clock
from reconciler.errors import ApiErrorKind
from reconciler.machines_api.client import USER_AGENT
from reconciler.machines_api.connections import open_http
from reconciler.machines_api.errors import classify, conceal, error_without_reply, retry_after, shorten
from reconciler.machines_api.throttle import Notice, Throttle, notice_nothing
from reconciler.machines_api.transport import TraceEntry
from reconciler.machines_api.values import json_of
from reconciler.model.concealment import token_parts
from reconciler.model.secret import Secret

_CONNECT_TIMEOUT_S: Final = 5.0
_RATE_PATIENCE_S: Final = 60.0
_PAUSE_S: Final = 1.0
_SHOWN: Final = 160
_NONCE_HEADER: Final = "fly-machine-lease-nonce"
_REQUEST_ID: Final = "fly-request-id"
_MESSAGES: Final = ("message", "error")


class Answer(Struct, frozen=True, kw_only=True):
    """What the server answered. `body` is its JSON; None if it is anything else.

    `words` can be shown.
    """

    status: int
    headers: Mapping[str, str]
    body: Any
    text: str
    words: str
    took_s: float

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def kind(self) -> ApiErrorKind | None:
        """Return the kind of error that the client takes it for; None for a success."""
        return None if self.is_success else classify(self.status, self.text)

    @property
    def members(self) -> dict[str, Any]:
        """Return the body if it is an object, otherwise an empty one."""
        return self.body if isinstance(self.body, dict) else {}


class RawApi:
    """Send calls to one base URL, without `/v1`. An async context manager.

    Calls keep to the documented rates if it is `paced`; one that the server refuses by its rate limit is sent again.
    """

    def __init__(
        self,
        *,
        base_url: str,
        token: Secret | None,
        clock: Clock,
        paced: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        trace: Callable[[TraceEntry], None] | None = None,
        notice: Notice = notice_nothing,
    ) -> None:
        self.base_url: str = base_url
        self._clock = clock
        self._trace = trace
        self._secrets = set(token_parts(token.reveal())) if token else set()
        self._throttle = Throttle(clock, is_paced=paced, notice=notice)
        self._http = open_http(base_url, token, user_agent=USER_AGENT, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._http.aclose()

    def conceal(self, secret: str) -> None:
        """Mask the secret in all words from now on."""
        self._secrets.add(secret)

    def shown(self, text: str) -> str:
        """Return foreign text on one line, without secrets."""
        return shorten(conceal(text, self._secrets), _SHOWN)

    async def send(
        self,
        method: str,
        path: str,
        *,
        limit: tuple[str, str],
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        nonce: str | None = None,
        timeout_s: float,
    ) -> Answer:
        """Return the answer. Raises ApiError if no answer came.

        `limit` is the action and the identifier whose rate the platform limits.
        """
        bucket, began = self._throttle.bucket(*limit), self._clock.monotonic()
        headers = {_NONCE_HEADER: nonce} if nonce else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = self._http.build_request(
            method,
            path,
            params=query,
            content=None if body is None else json.dumps(body).encode(),
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s)),
        )
        while True:
            ticket = await bucket.pass_through()
            try:
                reply, took_s = await self._exchange(request, f"{method} {path}", timeout_s)
            finally:
                ticket.answered()
            if reply.status_code != 429 or self._clock.monotonic() - began > _RATE_PATIENCE_S:
                return self._answer(reply, took_s)
            bucket.hold(retry_after(reply.headers.get("retry-after"), now=self._clock.now()) or _PAUSE_S)

    async def _exchange(self, request: httpx.Request, what: str, timeout_s: float) -> tuple[httpx.Response, float]:
        began, reply = self._clock.monotonic(), None
        try:
            async with asyncio.timeout(timeout_s + _CONNECT_TIMEOUT_S):
                reply = await self._http.send(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            why = f"{what}: cannot reach {self.base_url}"
            raise error_without_reply(why, self.shown(str(error)), ApiErrorKind.UNREACHABLE) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise error_without_reply(what, f"no answer in {timeout_s:g} s", ApiErrorKind.UNCLEAR) from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            why = self.shown(str(error)) or type(error).__name__
            raise error_without_reply(what, why, ApiErrorKind.UNCLEAR) from error
        finally:
            took_s = self._clock.monotonic() - began
            if self._trace:
                self._trace(
                    TraceEntry(
                        method=request.method,
                        path=request.url.path,
                        status=reply.status_code if reply is not None else None,
                        duration_s=took_s,
                        request_id=None if reply is None else self.shown(reply.headers.get(_REQUEST_ID, "")) or None,
                    )
                )
        return reply, took_s

    def _answer(self, reply: httpx.Response, took_s: float) -> Answer:
        try:
            body = json_of(reply.content)
        except ValueError:
            body = None
        text = reply.content.decode("utf-8", "replace")
        message = text
        if isinstance(body, dict):
            message = next((value for name in _MESSAGES if isinstance(value := body.get(name), str)), "")
        words = str(reply.status_code)
        if not reply.is_success and (said := self.shown(message)):
            words = f"{words} {said}"
        return Answer(status=reply.status_code, headers=reply.headers, body=body, text=text, words=words, took_s=took_s)
