"""Give a list in pages: `limit` asks for them, and `cursor` for the next one.

A cursor tells when the first page was asked for, how many pages came before, what the first page counted, and after
which place the next page begins.
"""

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Final, Generic, NamedTuple, TypeVar

from reconciler.clock import now_ms
from reconciler.engine.config.read import whole_number
from reconciler.engine.engine import Engine
from reconciler.engine.errors import bad_request
from reconciler.engine.faults.rules import api_fault
from reconciler.engine.http.messages import Request

T = TypeVar("T")
NEXT_CURSOR: Final = "fly-next-cursor"
MOST_IN_A_PAGE: Final = 1000
_LIFETIME_MS: Final = 30 * 60 * 1000


class Cursor(NamedTuple):
    """Where a page begins. `counted` is how many there were for the first page."""

    began_ms: int
    pages: int = 0
    counted: int | None = None
    after: str = ""

    def to_text(self) -> str:
        """Return the cursor as the API gives it."""
        text = f"{self.began_ms} {self.pages} {self.counted or 0} {self.after}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


class Page(NamedTuple, Generic[T]):
    """A page, and the cursor of the next one, if there is one."""

    items: list[T]
    cursor: Cursor
    following: str | None


def page_of(
    engine: Engine,
    request: Request,
    found: Iterable[T],
    place: Callable[[T], str],
    *,
    most: int = MOST_IN_A_PAGE,
) -> Page[T] | None:
    """Return the page that the request asks for; None where it asks for all.

    `place` returns where an item stands, as text that sorts. Raises ApiFault.
    """
    limit, text = request.query_params.get("limit"), request.query_params.get("cursor")
    if not limit:
        if text:
            raise bad_request("cursor requires limit")
        return None
    size = whole_number(limit, "limit")
    if not 1 <= size <= most:
        raise bad_request(f"limit must be between 1 and {most}")
    at_ms = now_ms(engine.clock)
    cursor = _parsed(text) if text else Cursor(at_ms)
    if at_ms > cursor.began_ms + _LIFETIME_MS:
        raise api_fault("cursor_expired")
    if not engine.settings.behaviour.fills_pages:
        size = 0 if cursor.pages % 2 else (size + 1) // 2
    items = sorted(((place(one), one) for one in found), key=lambda pair: pair[0])
    cursor = cursor._replace(counted=len(items) if cursor.counted is None else cursor.counted)
    left = [pair for pair in items if pair[0] > cursor.after]
    chosen = left[:size]
    following = cursor._replace(pages=cursor.pages + 1, after=chosen[-1][0] if chosen else cursor.after)
    return Page([one for _, one in chosen], cursor, following.to_text() if len(left) > size else None)


def _parsed(text: str) -> Cursor:
    try:
        began, pages, counted, after = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split(" ", 3)
        return Cursor(int(began), int(pages), int(counted), after)
    except (ValueError, binascii.Error) as error:
        raise bad_request(f"invalid cursor: {text}") from error


def headers_of(page: Page[T] | None) -> dict[str, str]:
    """Return the headers of the reply that is this page."""
    return {NEXT_CURSOR: page.following} if page and page.following else {}
