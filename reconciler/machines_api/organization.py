"""Many apps by one list: the pages of their organisations, where those are fewer than the apps.

What such a list tells of a config is an overview, and it may lag: enough to see that nothing has moved, by the versions
of what an earlier plan looked at, and never enough to change anything.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.errors import ApiError
from reconciler.machines_api.client import MachinesClient
from reconciler.model.machine import Machine

_PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the pages showed: the machines of each app that was asked for. None for `machines` where no complete answer
    was had; `pages` were asked for all the same.
    """

    machines: Mapping[str, tuple[Machine, ...]] | None
    pages: int


class _Incomplete(Exception):
    """The answer is not whole, or does not come to an end."""


async def overview(
    client: MachinesClient, app_names: Iterable[str], orgs: Iterable[str], *, most_pages: int
) -> Overview:
    """The machines of the apps, as the lists of these organisations show them, in no more pages than these.

    Whatever stands in the way (a token for one app only, a server without such a list, a region that does not answer)
    is no error here: apps can be asked one by one.
    """
    found: dict[str, list[Machine]] = {name: [] for name in app_names}
    pages = 0

    async def read(org: str) -> None:
        nonlocal pages
        cursor: str | None = None
        passed: set[str] = set()
        while True:
            if pages >= most_pages:
                raise _Incomplete
            pages += 1
            page = await client.list_organization(org, cursor=cursor)
            if not page.is_complete:
                raise _Incomplete
            for machine in page.machines:
                if machine.app in found:
                    found[machine.app].append(machine)
            cursor = page.next_cursor
            if cursor is None:
                return
            if cursor in passed:
                raise _Incomplete
            passed.add(cursor)

    try:
        async with asyncio.timeout(_PATIENCE_S):
            for org in sorted({*orgs}):
                await read(org)
    except (_Incomplete, ApiError, TimeoutError):
        return Overview(machines=None, pages=pages)
    return Overview(machines={name: tuple(machines) for name, machines in found.items()}, pages=pages)
