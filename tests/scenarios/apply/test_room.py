"""The question for room before a plan that creates machines."""

import httpx
import pytest

from reconciler.apply.options import Options
from reconciler.engine.faults.settings import Behaviour, Settings
from reconciler.machines_api.wire import limits_from_json
from reconciler.model.spec import Spec
from reconciler.operations.apply import propose_apply
from reconciler.operations.consent import Consent
from reconciler.operations.plan import plan
from tests.support.world import NO_IMAGES, World, task_spec

PLACEMENTS = "POST /platform/placements"


async def warnings(world: World, spec: Spec) -> tuple[str, ...]:
    """Those of a plan and of an apply's plan, which are the same."""
    session = world.session
    world.transport.requests.clear()
    planned, _digests = await plan(session, spec, images=NO_IMAGES)
    asked = world.transport.requests.count(PLACEMENTS)
    proposed = await propose_apply(session, spec, Consent(), Options(), images=NO_IMAGES)
    assert world.transport.requests.count(PLACEMENTS) == 2 * asked
    assert proposed.plan.warnings == planned.warnings
    return planned.warnings


@pytest.mark.world(Settings(behaviour=Behaviour(machines_per_region=3)))
async def test_more_machines_than_the_organisation_may_have_are_warned_of(world: World) -> None:
    assert not await warnings(world, task_spec(count="3"))
    assert world.transport.requests.count(PLACEMENTS) == 2
    await world.apply(task_spec(count="2"))
    [said] = await warnings(world, task_spec(count="4"))
    assert "may have 3 machines in region iad, and after this plan there would be 4" in said
    for spec in (task_spec("[exit, '1']"), task_spec(count="1")):
        assert not await warnings(world, spec)
        assert PLACEMENTS not in world.transport.requests


async def test_a_region_without_room_is_warned_of_and_a_refusal_is_not(world: World) -> None:
    answers = {
        "full": httpx.Response(200, json={"regions": [{"region": "fra", "count": 9}]}),
        "refused": httpx.Response(403, json={"error": "unauthorized"}),
        "unknown": httpx.Response(404, text="404 page not found"),
        "unknown to another": httpx.Response(501, json={"error": "not implemented"}),
        "not taken": httpx.Response(400, json={"error": "count must be positive"}),
        "limited": httpx.Response(429, json={"error": "rate limited"}),
        "broken": httpx.Response(502, text="bad gateway"),
        "odd": httpx.Response(200, json=["?"]),
        "none": httpx.Response(200, json={}),
    }
    passed_on = world.transport.handle_async_request

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/placements"):
            world.transport.requests.append(PLACEMENTS)
            return answers[kind]
        return await passed_on(request)

    world.transport.handle_async_request = answer  # type: ignore[method-assign]
    for kind in answers:
        said = await warnings(world, task_spec())
        assert [one for one in said if "no room in region iad" in one] == [*said]
        assert len(said) == (kind == "full")


def test_limits_are_read_in_both_spellings() -> None:
    assert limits_from_json({"Regions": [{"Region": "iad", "Count": 2}, {"Region": 3}, 4]}) == {"iad": 2}
    assert limits_from_json({"regions": [{"region": "iad", "count": 2, "concurrency": 1}]}) == {"iad": 2}
    assert limits_from_json({"regions": None}) == {}
