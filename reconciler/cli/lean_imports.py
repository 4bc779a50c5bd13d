"""The parts of other packages that no verb needs to start.

They take half of the time of importing them. In the command alone: the library imports its packages as they are.
"""

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, NotRequired, Required, get_type_hints

from reconciler.cli import anyio_stand_ins
from reconciler.cli.later_parts import Package

_SYNCHRONOUS: Final = (
    "ConnectionInterface ConnectionPool HTTP2Connection HTTP11Connection HTTPConnection HTTPProxy SOCKSProxy"
)


class _NoCookies:
    """A cookie jar that is empty.

    It becomes a `CookieJar` when more is wanted of it than what it contains.
    """

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        from http.cookiejar import CookieJar

        jar: Any = self
        jar.__class__ = CookieJar
        jar.__init__()
        return getattr(jar, name)


def _look_for_cookies_first(httpx: Any) -> None:
    """Let the cookies of a reply be read only if it has some.

    That needs half of `email` and `urllib`.
    """
    extract = httpx.Cookies.extract_cookies

    def extract_cookies(self: Any, response: Any) -> None:
        if "set-cookie" in response.headers or "set-cookie2" in response.headers:
            extract(self, response)

    httpx.Cookies.extract_cookies = extract_cookies


def _import_parser(_yaml: Any) -> None:
    """Import the parser in C, which takes the errors of all parts from the package."""
    with suppress(ImportError):
        import_module("yaml._yaml")


# What is imported before a verb is known.
FIRST_PACKAGES: Final = {
    "msgspec": Package({"msgspec.inspect": "", "msgspec.msgpack": "", "msgspec.toml": "", "msgspec.yaml": ""}),
    "msgspec.json": Package({"msgspec._json_schema": "schema schema_components"}),
    "msgspec._utils": Package(
        {"typing_extensions": "NotRequired Required get_type_hints"},
        instead={  # of Python itself: they are the same
            "typing_extensions.NotRequired": NotRequired,
            "typing_extensions.Required": Required,
            "typing_extensions.get_type_hints": get_type_hints,
        },
    ),
}
PACKAGES: Final = {
    "asyncio": Package({"ssl": "SSLContext SSLSocket", "asyncio.sslproto": "SSLProtocol"}),
    "httpx": Package(
        {
            "httpx._main": "main",
            "httpx._transports.asgi": "ASGITransport",
            "httpx._transports.mock": "MockTransport",
            "httpx._transports.wsgi": "WSGITransport",
            "http.cookiejar": "Cookie CookieJar",
            "urllib.request": "Request getproxies parse_http_list",
            "email.message": "Message",
            "idna": "",
            "mimetypes": "",
        },
        parents=("email", "urllib"),
        instead={"http.cookiejar.CookieJar": _NoCookies},
        adjust=_look_for_cookies_first,
    ),
    "httpcore": Package(
        {
            "ssl": "SSLContext",
            "httpcore._api": "request stream",
            "httpcore._sync": _SYNCHRONOUS,
            "httpcore._ssl": "default_ssl_context",
            "httpcore._backends.mock": "AsyncMockBackend AsyncMockStream MockBackend MockStream",
            "httpcore._backends.sync": "SyncBackend",
            "httpcore._backends.anyio": "AnyIOBackend",
            "anyio": "CancelScope Event Lock Semaphore fail_after",
        },
        instead={
            "anyio.CancelScope": anyio_stand_ins.new_scope,
            "anyio.Event": anyio_stand_ins.new_event,
            "anyio.Lock": anyio_stand_ins.new_lock,
            "anyio.Semaphore": anyio_stand_ins.new_semaphore,
            "anyio.fail_after": anyio_stand_ins.fail_after,
        },
    ),
    "yaml": Package(
        {
            "yaml.reader": "Reader ReaderError",
            "yaml.scanner": "Scanner ScannerError",
            "yaml.parser": "Parser ParserError",
            "yaml.composer": "Composer ComposerError",
            "yaml.constructor": "ConstructorError",
            "yaml.emitter": "EmitterError",
            "yaml.serializer": "SerializerError",
            "yaml.representer": "RepresenterError",
            "yaml.loader": "BaseLoader FullLoader SafeLoader Loader UnsafeLoader",
            "yaml.dumper": "BaseDumper SafeDumper Dumper",
            "yaml.cyaml": "CBaseLoader CSafeLoader CFullLoader CUnsafeLoader CLoader CBaseDumper CSafeDumper CDumper",
        },
        adjust=_import_parser,
    ),
}
