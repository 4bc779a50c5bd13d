"""Apps that an apply has to create: side by side, each before its own machines, and a failure of one is its own."""

import json
from datetime import UTC, datetime

import httpx
import pytest
from msgspec.structs import replace

from reconciler.apply.create_apps import creation_key
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model.plan import Plan
from reconciler.model.report import Status
from tests.support.world import World, spec_of

TWO = spec_of(
    """
version: 1
name: stack
apps:
  first: {image: registry.example/a:1, tasks: {work: {command: [exit, '0'], count: 2}}}
  second: {image: registry.example/a:1, tasks: {work: {command: [exit, '0'], count: 2}}}
"""
)


class Creations:
    """Stands in for the client's create_app: waits, or refuses, by the app's name."""

    def __init__(self, world: World, *, after_s: dict[str, float], refused: tuple[str, ...] = ()) -> None:
        self._create = world.context.client.apps.create
        self._clock = world.context.clock
        self._after_s = after_s
        self._refused = refused
        world.context.client.apps.create = self.create_app  # type: ignore[method-assign]

    async def create_app(self, app: str, *, org: str, key: str | None = None) -> None:
        await self._clock.sleep(self._after_s.get(app, 0.0))
        if app in self._refused:
            raise ApiError(f"create app {app}: 403 no", kind=ApiErrorKind.FORBIDDEN, status=403)
        await self._create(app, org=org, key=key)


async def test_a_machine_is_made_once_its_own_app_is_there_and_not_later(world: World) -> None:
    Creations(world, after_s={"second": 30.0})
    created: dict[str, float] = {}
    world.transport.before = lambda request: (
        created.setdefault(request.url.path.split("/")[3], world.context.clock.monotonic())
        if request.method == "POST" and request.url.path.endswith("/machines")
        else None
    )
    assert (await world.apply(TWO)).is_success
    assert created["first"] < 1
    assert created["second"] >= 30


async def test_an_app_that_cannot_be_created_fails_alone(world: World) -> None:
    Creations(world, after_s={"second": 5.0}, refused=("second",))
    report = await world.apply(TWO)
    assert not report.is_success
    assert report.apps_created == ("first",)
    assert report.failures == ("app second could not be created: create app second: 403 no",)
    ended = {entry.address: entry.status for entry in report.entries}
    assert ended["first/work-iad-0"] is ended["first/work-iad-1"] is Status.DONE
    assert ended["second/work-iad-0"] is ended["second/work-iad-1"] is Status.SKIPPED
    assert not any(request.startswith("POST /apps/second/machines") for request in world.transport.requests)


async def test_an_app_that_another_apply_made_a_moment_before_is_used(world: World) -> None:
    create = world.context.client.apps.create

    async def meddled(app: str, *, org: str, key: str | None = None) -> None:
        await create(app, org=org)
        await create(app, org=org, key=key)  # 422: the name is taken

    world.context.client.apps.create = meddled  # type: ignore[method-assign]
    report = await world.apply(TWO)
    assert report.is_success
    assert report.apps_created == ()
    assert "first: another apply has created the app" in world.said
    assert "first: app created" not in world.said


@pytest.mark.parametrize("knows_keys", [False, True])
async def test_a_creation_whose_reply_is_lost_is_repeated_with_its_key(world: World, knows_keys: bool) -> None:
    keys: list[tuple[str, str]] = []
    passed_on = world.transport.handle_async_request

    async def answer(request: httpx.Request) -> httpx.Response:
        if not (request.method == "POST" and request.url.path == "/v1/apps"):
            return await passed_on(request)
        body = json.loads(request.content)
        again = (body["name"], body["idempotency_key"]) in keys
        keys.append((body["name"], body["idempotency_key"]))
        response = httpx.Response(201, json={}) if again and knows_keys else await passed_on(request)
        if not again:
            raise httpx.ReadError("lost", request=request)
        return response

    world.transport.handle_async_request = answer  # type: ignore[method-assign]
    report = await world.apply(TWO)
    assert report.is_success
    assert report.apps_created == ("first", "second")
    assert len(keys) == 4
    assert len(set(keys)) == len({key for _name, key in keys}) == 2


def test_a_later_plan_and_another_run_have_other_keys() -> None:
    plan = Plan(stack="s", apps=(), changes=(), observed_at=datetime(2026, 1, 1, tzinfo=UTC))
    later = replace(plan, observed_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert creation_key(plan, "a", "1") == creation_key(replace(plan), "a", "1")
    others = creation_key(plan, "b", "1"), creation_key(later, "a", "1"), creation_key(plan, "a", "2")
    assert len({creation_key(plan, "a", "1"), *others}) == 4
    assert creation_key(replace(plan, observed_at=None), "a", "1") is None
