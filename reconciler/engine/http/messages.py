"""A request and the kinds of replies, which do not depend on how they are sent.

The server (`server/connection.py`) makes a request of bytes, and `asgi.py` of the messages of ASGI. Either calls a
`Respond` when the whole body has come.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec

MAX_BODY: Final = 8 * 1024 * 1024
JSON: Final = "application/json"
_encode: Final = msgspec.json.Encoder().encode


class Query:
    """The parameters of a query, in their order."""

    __slots__ = ("_items", "_last")

    def __init__(self, text: str) -> None:
        self._items = parse_qsl(text, keep_blank_values=True) if text else []
        self._last = dict(self._items)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the last value of the name."""
        return self._last.get(name, default)

    def getlist(self, name: str) -> list[str]:
        """Return all values of the name."""
        return [value for key, value in self._items if key == name]

    def multi_items(self) -> list[tuple[str, str]]:
        """Return all names with their values, in the order of the request."""
        return list(self._items)


class Request:
    """A request. `content` is its body; None if that is longer than MAX_BODY.

    `path` is decoded, names of `headers` are in lower case. The router sets `path_params`.
    """

    __slots__ = ("_query", "content", "headers", "method", "path", "path_params", "query")

    def __init__(
        self, method: str, path: str, query: bytes, headers: Sequence[tuple[bytes, bytes]], content: bytes | None
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.content = content
        self.path_params: dict[str, str] = {}
        self._query: Query | None = None

    @property
    def query_params(self) -> Query:
        """Return the parameters of the query."""
        if self._query is None:
            self._query = Query(self.query.decode("latin-1"))
        return self._query

    def header(self, name: bytes) -> str | None:
        """Return the first header of this name."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None


class Response:
    """A reply with its whole body."""

    __slots__ = ("body", "headers", "media_type", "status_code")

    def __init__(
        self,
        content: bytes | str = b"",
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        self.body: bytes = content.encode() if isinstance(content, str) else content
        self.status_code = status_code
        self.headers: dict[str, str] = dict(headers) if headers else {}
        self.media_type = media_type

    @property
    def has_body(self) -> bool:
        """Return whether a reply of this status has a body. An empty body counts too."""
        return self.status_code >= 200 and self.status_code not in {204, 304}

    def header_items(self) -> list[tuple[str, str]]:
        """Return the headers, with the length and the type of the body."""
        items = [("content-length", str(len(self.body)))] if self.has_body else []
        return items + self._others()

    def _others(self) -> list[tuple[str, str]]:
        kind = self.media_type
        typed = [("content-type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)] if kind else []
        return [*typed, *((name.lower(), value) for name, value in self.headers.items())]


class JSONResponse(Response):
    """A reply whose body is JSON."""

    __slots__ = ()

    def __init__(self, value: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(json_bytes(value), status_code, headers, JSON)


class StreamingResponse(Response):
    """A reply whose body comes in pieces."""

    __slots__ = ("chunks",)

    def __init__(self, chunks: AsyncIterator[str], media_type: str) -> None:
        super().__init__(media_type=media_type)
        self.chunks = chunks

    def header_items(self) -> list[tuple[str, str]]:
        """Return the headers; the length of the body is not known."""
        return self._others()


class NoReply(Response):
    """No reply: the connection is cut.

    With `is_refused` it looks as if the connection was never accepted.
    """

    __slots__ = ("is_refused",)

    def __init__(self, *, is_refused: bool) -> None:
        super().__init__()
        self.is_refused = is_refused


Respond: TypeAlias = Callable[[Request], Awaitable[Response]]


def json_bytes(value: Any) -> bytes:
    """Return the value as JSON."""
    return _encode(value)
