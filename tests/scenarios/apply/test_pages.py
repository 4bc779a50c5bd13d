"""Whole commands where each list takes several pages, short and empty ones among them."""

import httpx
import pytest
from msgspec.structs import replace

from reconciler.engine.faults.settings import Behaviour, Settings
from reconciler.machines_api import lists
from reconciler.model.report import Status
from tests.support.world import World, task_spec

pytestmark = pytest.mark.world(Settings(behaviour=Behaviour(fills_pages=False)))


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "_PAGE", 2)


async def test_the_machines_of_all_pages_are_applied_invoked_and_destroyed(world: World) -> None:
    spec = task_spec(count="5")
    assert (await world.apply(spec)).is_success
    assert not (await world.plan(spec)).has_changes
    assert (await world.invoke(spec)).outcome.exit_code == 0
    assert {machine.name for machine in world.machines()} == {f"work-iad-{number}" for number in range(5)}
    report = await world.destroy(spec)
    assert [entry.status for entry in report.entries] == [Status.DONE] * 5


async def test_a_list_that_breaks_off_after_an_apply_leaves_the_marks_as_they_are(world: World) -> None:
    spec = task_spec(count="5")
    assert (await world.apply(spec)).is_success
    before = {machine.name: machine.config["metadata"] for machine in world.machines()}
    meddled = world.machines()[3]
    world.engine.store.save(replace(meddled, config=meddled.config | {"env": {"BY": "hand"}}))
    passed_on = world.transport.handle_async_request
    has_written = False

    async def break_off(request: httpx.Request) -> httpx.Response:
        nonlocal has_written
        has_written = has_written or b"current_version" in request.content
        if has_written and "cursor" in request.url.params:
            return httpx.Response(400, json={"error": "invalid_argument: cursor expired"})
        return await passed_on(request)

    world.transport.handle_async_request = break_off  # type: ignore[method-assign]
    report = await world.apply(spec)
    assert [entry.status for entry in report.entries] == [Status.DONE]
    assert any("broke off" in why for why in report.mismatches)
    assert not report.is_success
    assert {machine.name: machine.config["metadata"] for machine in world.machines()} == before
    world.transport.handle_async_request = passed_on  # type: ignore[method-assign]
    assert (await world.apply(spec)).is_success
