"""Probe lists, versions and keys as the platform's newer document describes them.

The client relies on these too.
"""

from typing import Any, Final

from reconciler.conformance import probe
from reconciler.conformance.laboratory import Laboratory
from reconciler.conformance.probe import expect, needs
from reconciler.conformance.reading import version_of
from reconciler.machines_api.values import list_of

_NEXT_CURSOR: Final = "fly-next-cursor"
_MOST_PAGES: Final = 100
_DESCRIPTION: Final = "reconciler conform: is this listed?"


async def _listed(lab: Laboratory, query: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await lab.ask("GET", "/machines", query=query)
    expect(answer.is_success, answer.words)
    return [one for one in list_of(answer.body) if isinstance(one, dict)]


async def _pages(lab: Laboratory) -> str:
    await lab.in_state("stopped")
    await lab.resting("short")
    return await lab.before_long(lambda: _paged(lab))


async def _paged(lab: Laboratory) -> str:
    there = {one.get("id") for one in await _listed(lab, {})}
    needs(len(there) > 1, f"the list has {len(there)} machines")
    found: list[Any] = []
    query: dict[str, Any] = {"limit": 1}
    for count in range(1, _MOST_PAGES):
        answer = await lab.ask("GET", "/machines", query=query)
        expect(answer.is_success, f"page {count}: {answer.words}")
        page = [one.get("id") for one in list_of(answer.body) if isinstance(one, dict)]
        expect(len(page) <= 1, f"{len(page)} machines are in a page of 1")
        found += page
        cursor = answer.headers.get(_NEXT_CURSOR)
        if not cursor:
            is_whole = set(found) >= there and len(found) == len(set(found))
            return expect(is_whole, f"{len(set(found))} of {len(there)} machines in {count} pages")
        query = {"limit": 1, "cursor": cursor}
    return expect(False, f"no end after {_MOST_PAGES} pages")


async def _leases(lab: Laboratory) -> str:
    machine_id = await lab.in_state("stopped")
    async with lab.leased(machine_id, description=_DESCRIPTION):
        return await lab.before_long(lambda: _with_lease(lab, machine_id))


async def _with_lease(lab: Laboratory, machine_id: str) -> str:
    found = await _listed(lab, {"include_leases": "true"})
    lease = next((one.get("lease") for one in found if one.get("id") == machine_id), None)
    told = lease if isinstance(lease, dict) else {}
    expect(told, "no lease is told")
    expect(not told.get("nonce"), "the lease is told with its nonce")
    return expect(told.get("description") == _DESCRIPTION, f"the lease has {', '.join(sorted(told))}")


async def _filter(lab: Laboratory) -> str:
    await lab.in_state("stopped")
    machine_id = await lab.resting("short")
    written = await lab.ask("POST", "/metadata/conform_filter", machine_id, body={"value": "this"})
    needs(written.is_success, f"no metadata can be written: {written.words}")
    return await lab.before_long(lambda: _filtered(lab, machine_id))


async def _filtered(lab: Laboratory, machine_id: str) -> str:
    found = await _listed(lab, {"metadata.conform_filter": "this"})
    others = await _listed(lab, {"metadata.conform_filter": "that"})
    is_right = [one.get("id") for one in found] == [machine_id] and not others
    return expect(is_right, f"{len(found)} machines with the value, {len(others)} with another one")


async def _version(lab: Laboratory) -> str:
    machine = await lab.look(await lab.in_state("stopped"))
    both = ", ".join(name for name in ("version", "instance_id") if machine.get(name))
    return expect(machine.get("version"), f"it has {both or 'neither'}")


async def _old_version(lab: Laboratory) -> str:
    machine_id = await lab.in_state("stopped")
    before = await lab.look(machine_id)
    await lab.make_version(machine_id)
    await lab.until_state(machine_id, "stopped")
    answer = await lab.ask("GET", "", machine_id, query={"version": version_of(before)})
    expect(answer.is_success, answer.words)
    is_old = (answer.members.get("config") or {}).get("env") == (before.get("config") or {}).get("env")
    return expect(is_old, f"the config is that {'of the version' if is_old else 'of another version'}")


async def _same_key(lab: Laboratory) -> str:
    answer = await lab.api.send("POST", "/v1/apps", limit=("create_app", ""), body=lab.creation, timeout_s=15)
    return expect(answer.is_success, answer.words)


LISTS: Final = (
    probe.answer(
        "pages", "`limit` and the cursor in `fly-next-cursor` lead through the whole list", "LIST, LIST …", _pages
    ),
    probe.answer(
        "leases in lists", "`include_leases` tells who holds a lease, without its nonce", "LEASE, LIST", _leases
    ),
    probe.answer("filter by metadata", "`metadata.KEY` lists those with the value alone", "META, LIST, LIST", _filter),
    probe.answer("version", "a machine has `version`", "GET", _version),
    probe.answer("old version", "GET with `version` tells that version's config", "UPDATE, GET", _old_version),
    probe.answer(
        "app with its key", "POST with the same idempotency key is answered as the first", "POST apps", _same_key
    ),
)
