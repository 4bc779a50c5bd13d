"""Whatever ends it, and whenever: nothing is left, or it is said what."""

import asyncio
import json

import httpx
import pytest
from msgspec.structs import replace

from reconciler.conformance.catalogue import PROBES
from reconciler.engine.faults.settings import LATENCIES, Settings
from reconciler.errors import ApiError, ReconcilerError, TargetError, UsageError
from reconciler.model.conformance import Verdict
from tests.support.examined import Examiner, named
from tests.support.quirks import Quirky, TakesAnyApp, refusal
from tests.support.world import World, open_world

FEW = named(
    "A1", "A8", "A11", "A5", "A14", "stop under someone else's lease", "exit code of a kill", "start when created"
)
# Of the requests that these probes make: each of the first, then now and then one.
STAGES = (*range(1, 8), *range(9, 54, 4))


@pytest.mark.parametrize("stage", STAGES)
async def test_after_the_first_ctrl_c_nothing_is_left(stage: int) -> None:
    async with open_world() as world:
        examiner, loop = Examiner(world), asyncio.get_running_loop()

        def interrupt(_request: httpx.Request) -> None:
            if len(world.transport.requests) == stage + 1:
                loop.call_soon(examiner.stop.interrupt)

        world.transport.before = interrupt
        found = await examiner.examine(FEW)
        assert found.is_interrupted
        assert not found.is_conforming
        assert len(found.results) < len(FEW)
        assert found.left == ()
        await examiner.clock.sleep(60)
        assert examiner.has_left_nothing


async def test_the_second_ctrl_c_stops_at_once_and_what_may_be_left_is_known(world: World) -> None:
    class NeverDeletes(Quirky):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "DELETE" and request.url.path == "/v1/apps/probe":
                await asyncio.sleep(1000)
            return await self.answered(request)

    examiner = Examiner(world, NeverDeletes(world.transport))
    work = asyncio.ensure_future(examiner.examine(FEW, on_end=lambda _result: examiner.stop.interrupt()))
    await examiner.clock.sleep(20)
    began = examiner.clock.monotonic()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert examiner.clock.monotonic() == began
    assert examiner.app.may_exist


async def test_a_cancellation_in_the_middle_deletes_nothing_and_is_known(world: World) -> None:
    examiner = Examiner(world)
    work = asyncio.ensure_future(examiner.examine(FEW))
    await examiner.clock.sleep(3)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert examiner.app.may_exist
    assert await examiner.app.delete() == ()
    assert not examiner.app.may_exist


async def test_a_probe_that_hangs_is_given_up_and_the_others_are_tried(world: World) -> None:
    class NeverSettles(Quirky):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/lease") and request.method == "POST":
                await asyncio.sleep(1e6)
            return await self.answered(request)

    examiner = Examiner(world, NeverSettles(world.transport))
    found = await examiner.examine(named("A1", "A8", "A16"))
    assert [(one.name, one.verdict) for one in found.results] == [
        ("A1", Verdict.UNTRIED),
        ("A8", Verdict.HOLDS),
        ("A16", Verdict.HOLDS),
    ]
    assert "no answer in 15 s" in found.results[0].seen
    assert examiner.has_left_nothing


async def test_a_server_that_goes_away_ends_it_and_what_is_left_is_said(world: World) -> None:
    class Dies(Quirky):
        is_dead = False

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if self.is_dead:
                raise httpx.ConnectError("connection refused")
            return await self.answered(request)

    transport = Dies(world.transport)
    examiner = Examiner(world, transport)

    def die(result: object) -> None:
        transport.is_dead = True

    found = await examiner.examine(PROBES, on_end=die)
    assert 3 < len(found.results) < 10
    assert "does not answer any more" in found.failures[0]
    assert found.left[0].startswith("the app probe, with its machines: ")
    assert "cannot reach" in found.left[0]
    assert not found.is_conforming
    assert examiner.app.may_exist


async def test_an_app_that_is_not_deleted_at_once_is_asked_for_again(world: World) -> None:
    class Refuses(Quirky):
        times = 2

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "DELETE" and request.url.path == "/v1/apps/probe" and self.times:
                self.times -= 1
                return refusal(500, "unknown: it broke")
            return await self.answered(request)

    examiner = Examiner(world, Refuses(world.transport))
    found = await examiner.examine(named("A1"))
    assert found.left == ()
    assert examiner.has_left_nothing


async def test_an_app_that_exists_is_refused_and_left_alone(world: World) -> None:
    world.engine.create_app("probe", "personal")
    with pytest.raises(UsageError, match="the app probe exists already"):
        await Examiner(world).examine(FEW)
    assert "probe" in world.engine.store.apps
    assert [one for one in world.transport.requests if not one.startswith("GET")] == []


async def test_an_app_that_someone_makes_at_the_same_moment_is_left_alone(world: World) -> None:
    class Races(Quirky):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if (request.method, request.url.path) == ("POST", "/v1/apps") and "probe" not in world.engine.store.apps:
                world.engine.create_app("probe", "personal")
            return await self.answered(request)

    with pytest.raises(UsageError, match="the app probe exists already"):
        await Examiner(world, Races(world.transport)).examine(FEW)
    assert "probe" in world.engine.store.apps


async def test_of_two_at_once_one_does_it_and_the_other_leaves_its_app_alone(world: World) -> None:
    first, second = Examiner(world), Examiner(world)
    ended = await asyncio.gather(first.examine(FEW), second.examine(FEW), return_exceptions=True)
    (refused,) = [one for one in ended if isinstance(one, UsageError)]
    (found,) = [one for one in ended if one is not refused]
    assert not isinstance(found, BaseException)
    assert found.is_conforming
    assert first.has_left_nothing


@pytest.mark.parametrize("fault", ["reset before", "reset after", "504 after", "500 before", "half a reply"])
async def test_a_lost_reply_to_the_apps_creation_is_settled_by_its_key(world: World, fault: str) -> None:
    examiner = Examiner(world)
    world.transport.strike(fault, ahead=1)
    assert (await examiner.examine(named("A1"))).is_conforming
    assert examiner.has_left_nothing


class OwesReplies(Quirky):
    """The answers to the creation of an app are lost, all of them or the first."""

    def __init__(self, inner: httpx.AsyncBaseTransport, *, times: int) -> None:
        super().__init__(inner)
        self.times = times

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if (request.method, request.url.path) != ("POST", "/v1/apps"):
            return await self.answered(request)
        body = {name: value for name, value in json.loads(request.content).items() if name != "idempotency_key"}
        reply = await self.ask(request, "POST", "/v1/apps", json=body)
        self.times -= 1
        return refusal(502, "bad gateway") if self.times >= 0 else reply


@pytest.mark.parametrize(
    ("times", "why"), [(1, "it may be someone else's"), (9, "it is not known whether the app probe was made: 502")]
)
async def test_what_is_not_certainly_ours_is_left_alone_and_told(world: World, times: int, why: str) -> None:
    """The server does not heed the key: the app may be someone else's, who was faster."""
    examiner = Examiner(world, OwesReplies(world.transport, times=times))
    with pytest.raises(ReconcilerError, match=why) as raised:
        await examiner.examine(named("A1"))
    assert "delete the app if nobody else made it" in str(raised.value.hint)
    assert "probe" in world.engine.store.apps
    assert not [one for one in world.transport.requests if one.startswith("DELETE")]


async def test_where_an_app_can_be_made_twice_the_machines_of_another_are_not_touched(world: World) -> None:
    class Shares(TakesAnyApp):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if (request.method, request.url.path) == ("POST", "/v1/apps") and "probe" not in world.engine.store.apps:
                world.engine.create_app("probe", "personal")
                body = {"name": "theirs", "config": {"image": "i"}, "skip_launch": True}
                await self.ask(request, "POST", "/v1/apps/probe/machines", json=body)
            return await super().handle_async_request(request)

    found = await Examiner(world, Shares(world.transport)).examine(FEW)
    assert "someone else has made it too" in found.failures[0]
    assert found.results == ()
    assert not found.is_conforming
    assert [machine.name for machine in world.machines("probe")] == ["theirs"]


@pytest.mark.parametrize("stage", [2, 3, 4, 6])
async def test_an_app_that_is_not_known_everywhere_yet_is_deleted_all_the_same(stage: int) -> None:
    async with open_world(Settings(latency=replace(LATENCIES["small"], propagate_s=20))) as world:
        examiner, loop = Examiner(world), asyncio.get_running_loop()

        def interrupt(_request: httpx.Request) -> None:
            if len(world.transport.requests) == stage:
                loop.call_soon(examiner.stop.interrupt)

        world.transport.before = interrupt
        found = await examiner.examine(FEW)
        assert found.is_interrupted
        assert found.left == ()
        assert examiner.has_left_nothing


async def test_a_dead_network_and_another_server_are_told_before_anything_is_made(world: World) -> None:
    class Dead(Quirky):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("connection refused")

    class Site(Quirky):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(404, text="<html>not here</html>")

    with pytest.raises(ApiError, match="cannot reach"):
        await Examiner(world, Dead(world.transport)).examine(FEW)
    with pytest.raises(TargetError, match="does not tell whether the app exists"):
        await Examiner(world, Site(world.transport)).examine(FEW)


async def test_on_a_server_where_nothing_gets_ready_the_end_comes_soon(world: World) -> None:
    class Prepares(Quirky):
        """A machine is never ready, and says so."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            reply = await self.answered(request)
            is_one = "/machines" in request.url.path and isinstance(reply.json(), dict) and "state" in reply.json()
            return httpx.Response(200, json=reply.json() | {"state": "starting"}) if is_one else reply

    examiner = Examiner(world, Prepares(world.transport))
    probes = [probe for probe in PROBES if probe.name.endswith("when stopped")]
    found = await examiner.examine(probes)
    assert found.duration_s < 250
    assert len(found.of(Verdict.UNTRIED)) == len(probes)
    assert {result.seen for result in found.results} == {"the machine is starting after 120 s, and not stopped"}
    assert examiner.has_left_nothing


async def test_a_name_that_is_no_name_is_no_path_either(world: World) -> None:
    examiner = Examiner(world)
    examiner.app.name = examiner.lab.app = "a/b?c"
    with pytest.raises(ReconcilerError, match="the app cannot be made: 422"):
        await examiner.examine(FEW)
    assert examiner.has_left_nothing
