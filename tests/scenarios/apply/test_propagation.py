"""A new app is not known everywhere at once: an apply that has created it waits that out, whatever way it shows."""

import asyncio

import httpx
import pytest
from msgspec.structs import replace

from reconciler.engine.faults.rules import ALWAYS
from reconciler.engine.faults.settings import Latency, Settings
from reconciler.model.report import Report, Status
from tests.support.side_by_side import NEW, assert_well, person
from tests.support.world import World, open_world, spec_of

pytestmark = pytest.mark.slow

SPEC = spec_of(NEW)
WAYS = ("app_unknown", "unauthenticated", "app_without_rows")
ON_APPS = ("get_app", "list", "create", "get", "wait", "events", "lease")


def propagating(seconds: float) -> Settings:
    return Settings(latency=replace(Latency(), propagate_s=seconds))


def refuse_for(world: World, way: str, seconds: float, calls: tuple[str, ...] = ON_APPS) -> None:
    """From the app's creation on these calls on it are refused in this way."""

    def before(request: httpx.Request) -> None:
        world.assert_unique_names()
        if (request.method, request.url.path) == ("POST", "/v1/apps"):
            world.engine.faults.add(way, calls=calls, app="app", times=ALWAYS)
            asyncio.get_running_loop().call_later(seconds, world.transport.relent)

    world.transport.before = before


@pytest.mark.parametrize("seconds", [3.0, 20.0, 45.0])
async def test_a_first_apply_waits_until_the_app_is_known(seconds: float) -> None:
    async with open_world(propagating(seconds)) as world:
        assert_well(await world.apply(SPEC))
        assert len(world.machines()) == 5
        assert not (await world.plan(SPEC)).has_changes


@pytest.mark.parametrize("calls", [("create",), ON_APPS])
@pytest.mark.parametrize("way", WAYS)
async def test_whatever_way_it_shows(world: World, way: str, calls: tuple[str, ...]) -> None:
    refuse_for(world, way, 40.0, calls)
    report = await world.apply(SPEC)
    assert_well(report)
    assert 40 <= report.duration_s < 80
    assert len(world.machines()) == 5


@pytest.mark.parametrize("way", WAYS)
async def test_after_a_minute_it_fails_and_says_with_what(world: World, way: str) -> None:
    refuse_for(world, way, 500.0)
    report = await world.apply(SPEC)
    failed = [one for one in report.entries if one.status not in {Status.DONE, Status.SKIPPED}]
    assert len(failed) == 1
    assert any(word in failed[0].detail for word in ("404", "401", "500"))
    assert 60 <= report.duration_s < 200


@pytest.mark.parametrize("way", WAYS)
async def test_an_app_that_was_there_before_is_not_waited_for(world: World, way: str) -> None:
    world.engine.create_app("app", "personal")
    world.engine.faults.add(way, calls=("create",), app="app", times=ALWAYS)
    report = await world.apply(SPEC)
    assert not report.is_success
    assert report.duration_s < 30


@pytest.mark.world(propagating(20.0))
@pytest.mark.parametrize("fault", ["lose_reply", "lose_request", "half_reply", "server_error", "html"])
async def test_an_unclear_creation_of_the_app_is_made_sure_of(world: World, fault: str) -> None:
    world.engine.faults.add(fault, calls=("create_app",))
    report = await world.apply(SPEC)
    assert_well(report)
    assert report.apps_created == ("app",)


@pytest.mark.world(propagating(30.0))
async def test_two_first_applies_at_once_both_wait(world: World) -> None:

    async def one(who: str) -> Report:
        return await person(world, who).apply(SPEC)

    assert_well(*await asyncio.gather(one("first"), one("second")))
    world.assert_unique_names()
    assert len(world.machines()) == 5


async def test_a_name_of_another_organisation_fails_at_once(world: World) -> None:
    world.engine.faults.add("app_unknown", calls=("list", "get_app"), app="app", times=2)
    world.engine.create_app("app", "theirs")
    world.engine.faults.add("unauthorized", calls=("get_app",), app="app", after=0, times=ALWAYS)
    report = await world.apply(SPEC)
    assert "already been taken" in report.failures[0]
    assert report.duration_s < 5
