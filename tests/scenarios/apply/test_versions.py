"""The version of a machine guards each update of it, by whichever name the server calls it."""

import json
from typing import Any

import httpx
import pytest

from reconciler.engine.faults.settings import Behaviour, Settings
from reconciler.model.report import Status
from reconciler.model.run_policy import Override
from tests.support.faults import UnguardedError
from tests.support.world import World, task_spec

ONE, TWO = (task_spec(f"[exit, '{code}']", extra="        overrides: {args: true}\n") for code in range(2))
NAMES = [(), ("instance_id",), ("version",)]


@pytest.mark.parametrize("untold", NAMES)
async def test_an_update_and_a_run_with_args_of_its_own_are_guarded(world: World, untold: tuple[str, ...]) -> None:
    sent: list[Any] = []

    def note(request: httpx.Request) -> None:
        if request.method == "POST" and request.content and "config" in (body := json.loads(request.content)):
            sent.append(body.get("current_version"))

    world.transport.untold.update(untold)
    assert (await world.apply(ONE)).is_success
    first = {machine.instance_id for machine in world.machines()}
    world.transport.before = note
    assert (await world.apply(TWO)).is_success
    assert set(sent) == first
    sent.clear()
    assert (await world.invoke(TWO, override=Override(args=("exit", "5")))).outcome.exit_code == 5
    assert len(set(sent)) == 2
    assert all(sent)


async def test_a_machine_without_any_version_is_left_as_it_is(world: World) -> None:
    await world.apply(ONE)
    before = world.machines()
    world.transport.untold.update({"instance_id", "version"})
    report = await world.apply(TWO)
    assert {entry.status for entry in report.entries} == {Status.FAILED}
    assert "does not tell the machine's version" in report.entries[0].detail
    assert [machine.config["init"] for machine in world.machines()] == [machine.config["init"] for machine in before]


async def test_the_worlds_of_the_tests_let_no_unguarded_update_pass(world: World) -> None:
    client = httpx.AsyncClient(base_url="http://127.0.0.1", transport=world.transport)
    with pytest.raises(UnguardedError):
        await client.post("/v1/apps/app/machines/1", json={"config": {}})
    world.transport.unguarded.clear()


@pytest.mark.parametrize("status", [409, 412])
@pytest.mark.world(Settings(behaviour=Behaviour(stale_version_status=None)))
async def test_a_refusal_by_its_status_alone_is_looked_at_again(world: World, status: int) -> None:
    await world.apply(ONE)
    refusals = iter([httpx.Response(status, json={"error": "no"})])
    passed_on = world.transport.handle_async_request

    async def refuse_first(request: httpx.Request) -> httpx.Response:
        is_update = b"current_version" in request.content
        return next(refusals, None) or await passed_on(request) if is_update else await passed_on(request)

    world.transport.handle_async_request = refuse_first  # type: ignore[method-assign]
    assert (await world.apply(TWO)).is_success
    assert (await world.invoke(TWO)).outcome.exit_code == 1
