"""Servers that are not like the engine: each of their quirks is named, and nothing of it spoils the rest."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest

from reconciler.conformance.catalogue import PROBES
from reconciler.model.conformance import Verdict
from reconciler.render.conformance import conformance_text
from tests.support.examined import Examiner, differing, named
from tests.support.quirks import EndsLongWaits, Quirky, TakesAnyApp, refusal
from tests.support.world import World

Pass = Callable[[httpx.Request], Awaitable[httpx.Response]]


class RefusesAnIdleStart(Quirky):
    """A start of a started machine is no success."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/start"):
            machine = await self.ask(request, "GET", request.url.path.removesuffix("/start"))
            if machine.json().get("state") == "started":
                return refusal(412, "failed_precondition: unable to start machine from current state: 'started'")
        return await self.answered(request)


class Forgets(Quirky):
    """A destroyed machine is unknown at once."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reply = await self.answered(request)
        is_one = request.method == "GET" and request.url.path.count("/") == 5
        if is_one and reply.is_success and reply.json().get("state") == "destroyed":
            return refusal(404, "machine not found")
        return reply


class LosesCodes(Quirky):
    """A kill leaves the exit code 0."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reply = await self.answered(request)
        return httpx.Response(reply.status_code, content=reply.content.replace(b'"exit_code":137', b'"exit_code":0'))


class StartsUpdated(Quirky):
    """An update of a stopped machine starts it."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_update = request.method == "POST" and request.url.path.count("/") == 5
        before = (await self.ask(request, "GET", request.url.path)).json().get("state") if is_update else ""
        reply = await self.answered(request)
        if before in {"stopped", "suspended"} and reply.is_success:
            await asyncio.sleep(1)
            await self.ask(request, "POST", f"{request.url.path}/start")
        return reply


class HeedsNoLease(Quirky):
    """Leases are given, and stop nobody."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method in {"POST", "DELETE"} and "/machines/" in request.url.path:
            machine = "/".join(request.url.path.split("/")[:6])
            lease = await self.ask(request, "GET", f"{machine}/lease")
            if lease.is_success:
                request.headers["fly-machine-lease-nonce"] = lease.json()["data"]["nonce"]
        return await self.answered(request)


class ListsOldestFirst(Quirky):
    """Events come in the other order."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reply = await self.answered(request)
        if request.url.path.endswith("/events"):
            return httpx.Response(200, json=reply.json()[::-1])
        return reply


class IsOlder(Quirky):
    """It knows nothing of pages, keys, leases in lists and old versions."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            kept = {name: value for name, value in request.url.params.items() if name in {"state", "timeout"}}
            request.url = request.url.copy_with(params=kept)
        if (request.method, request.url.path) == ("POST", "/v1/apps"):
            body = {name: value for name, value in json.loads(request.content).items() if name != "idempotency_key"}
            return await self.ask(request, "POST", "/v1/apps", json=body)
        reply = await self.answered(request)
        if reply.is_success and isinstance(reply.json(), dict) and "instance_id" in reply.json():
            return httpx.Response(200, json={name: value for name, value in reply.json().items() if name != "version"})
        return reply


class RestartsForMetadata(Quirky):
    """Metadata is written by an update."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        machine, is_write, _key = request.url.path.partition("/metadata/")
        if request.method == "POST" and is_write:
            seen = (await self.ask(request, "GET", machine)).json()
            if seen["state"] == "started":
                body = {"config": seen["config"], "current_version": seen["instance_id"]}
                await self.ask(request, "POST", machine, json=body)
        return await self.answered(request)


class SpeaksOtherwise(Quirky):
    """A machine is not what the document says."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reply = await self.answered(request)
        if request.url.path.endswith("/versions"):
            return httpx.Response(200, json={"versions": [1, None, {"version": []}]})
        if request.url.path.endswith("/lease") and request.method == "GET" and reply.is_success:
            return httpx.Response(200, json=["a lease"])
        return reply


LEASED = {
    f"{call} under someone else's lease"
    for call in ("start", "update", "restart", "suspend", "cordon", "stop", "lease", "release")
}
QUIRKS: dict[type[Quirky], set[str]] = {
    RefusesAnIdleStart: {"start when started"},
    Forgets: {"destroyed machine"},
    LosesCodes: {"exit code of a kill"},
    HeedsNoLease: LEASED,
    EndsLongWaits: {"wait of 61 s"},
    ListsOldestFirst: {"A15", "A17"},
    IsOlder: {"pages", "leases in lists", "filter by metadata", "version", "old version", "app with its key", "list"},
    TakesAnyApp: {"app that exists"},
    RestartsForMetadata: {"A19"},
    SpeaksOtherwise: {"A1", "A6"},
}


@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.__name__)
async def test_a_quirk_is_named_and_only_that(world: World, quirk: type[Quirky]) -> None:
    examiner = Examiner(world, quirk(world.transport))
    others = named("A9", "stop when started", "destroy when stopped", "exit code")
    probes = [probe for probe in PROBES if probe.name in QUIRKS[quirk] or probe in others]
    found = await examiner.examine(probes)
    assert differing(found) == QUIRKS[quirk]
    assert len(found.of(Verdict.HOLDS)) == len(probes) - len(QUIRKS[quirk])
    assert not found.is_conforming
    text = conformance_text(found, width=200)
    assert all(f"  {name}  " in text for name in QUIRKS[quirk])
    assert examiner.has_left_nothing


async def test_where_an_update_starts_what_rested_that_is_said(world: World) -> None:
    examiner = Examiner(world, StartsUpdated(world.transport))
    found = await examiner.examine(named("update when stopped"))
    assert [result.seen for result in found.results] == ["200, and the machine is started"]
    assert differing(found) == {"update when stopped"}


async def test_a_server_that_no_machine_can_be_made_on_conforms_in_nothing(world: World) -> None:
    class Full(Quirky):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/machines") and request.method == "POST":
                return refusal(422, "To create more than 1 machine per app please add a payment method.")
            return await self.answered(request)

    examiner = Examiner(world, Full(world.transport))
    found = await examiner.examine(named("A1", "A7", "start when stopped"))
    assert [result.verdict for result in found.results] == [Verdict.UNTRIED] * 3
    assert "add a payment method" in found.results[0].seen
    assert not found.is_conforming
    assert examiner.has_left_nothing


async def test_what_a_server_quotes_of_token_and_nonce_is_not_shown(world: World) -> None:
    class Tells(Quirky):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/start") and "fly-machine-lease-nonce" in request.headers:
                nonce = request.headers["fly-machine-lease-nonce"]
                return refusal(409, f"no: {request.headers['Authorization']} {nonce}")
            return await self.answered(request)

    found = await Examiner(world, Tells(world.transport)).examine(named("start under one's own lease"))
    (seen,) = [result.seen for result in found.results]
    assert seen.startswith("409 no: Bearer ")
    assert "engine-token" not in seen
    assert not any(len(word) == 12 and word.isalnum() for word in seen.split()), json.dumps(seen)
