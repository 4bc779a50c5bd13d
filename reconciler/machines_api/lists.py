"""List the machines of an app, page by page: `client.lists`.

A list is whole only once its last page came without a cursor. One that breaks off is an error, never a shorter list. An
older server knows no pages and sends all at once. The leases are asked for too, and the filters are; a server may know
of neither, so the caller filters again.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.machines_api import wire
from reconciler.machines_api.calls import Call, app_path
from reconciler.machines_api.remedies import READ_HINT
from reconciler.machines_api.transport import Transport
from reconciler.machines_api.wire import Reduce
from reconciler.model.machine import Machine

Page = tuple[Machine, ...]
_PAGE: Final = 1000  # machines, the most that the platform allows
_MOST_PAGES: Final = 1_000
_NEXT_CURSOR: Final = "fly-next-cursor"
_TIMEOUT_S: Final = 30.0
_OF_PAGES: Final = frozenset({"limit", "include_leases"})
_FILTER: Final = "metadata."
_BAD_PARAMETER: Final = frozenset({400, 422})


class BrokenListError(ApiError):
    """A list ended before it was complete. Conclude nothing from its machines."""

    def __init__(self, app: str, count: int, why: str) -> None:
        what = f"the list of app {app}'s machines broke off after {count} of them"
        super().__init__(f"{what}: {why}", kind=ApiErrorKind.UNCLEAR, hint=READ_HINT)


class MachineLists:
    """Read the lists of machines of apps. Every method raises ApiError.

    It is a BrokenListError if a list is not whole.
    """

    def __init__(self, api: Transport) -> None:
        self._api = api
        self._refused: frozenset[str] = frozenset()  # parameters that the server does not take

    async def all_of(
        self,
        app: str,
        *,
        with_destroyed: bool = False,
        where: Mapping[str, str] | None = None,
        keep: Callable[[Machine], bool] | None = None,
    ) -> Page | None:
        """Return the machines of the app, each once; None if the app does not exist.

        `where` asks for the machines with this metadata alone; an older server sends the others too. `keep` says which
        are returned; all, if it is None.
        """
        found: list[Machine] = []

        def take(page: Page) -> None:
            found.extend(filter(keep, page) if keep else page)

        exists = await self.each_page(app, take, with_destroyed=with_destroyed, where=where)
        return tuple(found) if exists else None

    async def each_page(
        self,
        app: str,
        take: Callable[[Page], object],
        *,
        with_destroyed: bool = False,
        where: Mapping[str, str] | None = None,
        reduce: Reduce | None = None,
    ) -> bool:
        """Pass each page to `take`; return False if the app does not exist.

        One page at a time is held here, and of each machine what `reduce` leaves of it. A machine that is on two pages
        is passed on once. If the list breaks off, the caller must forget what it took.
        """
        query: dict[str, Any] = {"limit": _PAGE, "include_leases": "true"}
        query |= {"include_deleted": "true"} if with_destroyed else {}
        query |= {f"{_FILTER}{key}": value for key, value in (where or {}).items()}
        seen: set[str] = set()
        page, cursor = await self._first(app, query, reduce)
        if page is None:
            return False
        cursors = {""}
        while True:
            take(tuple(machine for machine in page if not machine.id or machine.id not in seen))
            if not cursor:
                return True
            if cursor in cursors or len(cursors) > _MOST_PAGES:
                raise BrokenListError(app, len(seen) + len(page), "its cursor came twice, so it would never end")
            seen.update(machine.id for machine in page)
            cursors.add(cursor)
            page = ()  # not to be held while the next one is read
            try:
                page, cursor = await self._page(app, query | {"cursor": cursor}, reduce)
            except ApiError as error:
                raise BrokenListError(app, len(seen), error.message) from error

    async def has_pages(self, app: str) -> bool:
        """Return whether the server lists by pages.

        This asks for a page of one machine, so the app must have more than one.
        """
        call = self._call(app, {"limit": 1})
        cursors: list[str] = []
        await self._api.send(replace(call, on_headers=_taker_of_cursor(cursors)), lambda _value: None)
        return any(cursors)

    async def _first(self, app: str, query: Mapping[str, Any], reduce: Reduce | None) -> tuple[Page | None, str]:
        """Return the first page; None if there is no such app.

        If the server refuses the parameters, it is asked again without those of pages, then without the filters.
        """
        sent = {name: value for name, value in query.items() if name not in self._refused}
        try:
            return await self._page(app, sent, reduce)
        except ApiError as error:
            if error.kind is ApiErrorKind.NOT_FOUND:
                return None, ""
            doubtful = sent.keys() & _OF_PAGES or {name for name in sent if name.startswith(_FILTER)}
            if error.status not in _BAD_PARAMETER or not doubtful:
                raise
            kept = {name: value for name, value in sent.items() if name not in doubtful}
            found = await self._first(app, kept, reduce)
            self._refused |= doubtful
            return found

    async def _page(self, app: str, query: Mapping[str, Any], reduce: Reduce | None) -> tuple[Page, str]:
        cursors: list[str] = []
        call = replace(self._call(app, query), on_headers=_taker_of_cursor(cursors), is_list=True)
        page = await self._api.send(call, lambda value: wire.machines_from_json(app, value, reduce))
        return page, cursors[-1]

    def _call(self, app: str, query: Mapping[str, Any]) -> Call:
        return Call(
            method="GET",
            path=f"{app_path(app)}/machines",
            what=f"list machines of {app}",
            action="list_machines",
            identifier=app,
            app=app,
            query={name: value for name, value in query.items() if name not in self._refused},
            is_repeatable=True,
            timeout_s=_TIMEOUT_S,
        )


def _taker_of_cursor(cursors: list[str]) -> Callable[[Mapping[str, str]], None]:
    """Return a function that adds the cursor of an answer, "" if it has none.

    Only the headers of the answer itself know how they are encoded, so they are not copied.
    """
    return lambda headers: cursors.append(headers.get(_NEXT_CURSOR, ""))
