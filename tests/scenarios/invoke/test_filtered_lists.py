"""Commands about runs list only what they need, where the server filters; and miss nothing where it leaves some out."""

import json

import httpx
import pytest

from reconciler.invoke.attach import wait_run
from reconciler.invoke.listing import has_all_slots, is_unfiltered
from reconciler.invoke.pool_cache import KnownPool
from reconciler.invoke.runs import find_run, list_runs
from reconciler.model import marks
from reconciler.model.machine import Machine
from tests.support.world import World, app_spec

SPEC = app_spec("""
    tasks:
      work: {command: [exit, '0'], count: 3}
      other: {command: [exit, '0'], count: 4}
""")
OF_WORK = {f"metadata.{marks.POOL}": "work", f"metadata.{marks.STACK}": "stack"}


class Lists:
    """The filters of each list that was asked for. `is_older`: the server knows none."""

    def __init__(self, world: World) -> None:
        self.filters: list[dict[str, str]] = []
        self.is_older = False
        self._pass_on = world.transport.handle_async_request
        world.transport.handle_async_request = self.answer  # type: ignore[method-assign]

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and request.url.path.endswith("/machines"):
            asked = {key: value for key, value in request.url.params.items() if key.startswith("metadata.")}
            self.filters.append(asked)
            if self.is_older:
                for key in asked:
                    request.url = request.url.copy_remove_param(key)
        return await self._pass_on(request)


@pytest.mark.parametrize("is_older", [False, True])
async def test_an_invoke_lists_its_pool_and_a_wait_its_slot(world: World, is_older: bool) -> None:
    assert (await world.apply(SPEC)).is_success
    lists = Lists(world)
    lists.is_older = is_older
    run = await world.invoke(SPEC)
    assert lists.filters == [OF_WORK]
    lists.filters.clear()
    assert run.id
    found = await find_run(world.context, "app", run.id, stack="stack")
    assert found
    assert (await wait_run(world.context, found)).outcome == run.outcome
    assert lists.filters == [{f"metadata.{marks.SLOT}": run.id.partition("/")[0], f"metadata.{marks.STACK}": "stack"}]
    lists.filters.clear()
    assert [one.info.id for one in await list_runs(world.context, "app", stack="stack", task="work")] == [run.id]
    assert not await list_runs(world.context, "app", stack="stack", task="other")
    assert [len(asked) for asked in lists.filters] == [2, 2]
    assert [one.info.id for one in await list_runs(world.context, "app", stack="stack")] == [run.id]
    assert lists.filters[-1] == {}


async def test_a_machine_that_the_filter_leaves_out_is_not_overlooked(world: World) -> None:
    assert (await world.apply(SPEC)).is_success
    dark = world.machines()[-1]
    world.engine.faults.add(fault="host_unreachable", machine=dark.name)
    lists = Lists(world)

    async def leave_out(request: httpx.Request) -> httpx.Response:
        answer = await lists.answer(request)
        if lists.filters and lists.filters[-1] and request.url.path.endswith("/machines"):
            return httpx.Response(200, json=[one for one in json.loads(await answer.aread()) if one["config"]])
        return answer

    world.transport.handle_async_request = leave_out  # type: ignore[method-assign]
    known = KnownPool(app="app", pool="work", stack="stack")
    await known.refresh(world.context)
    assert lists.filters == [OF_WORK, {}]
    assert [machine.name for machine in known.unreachable({dark.name})] == [dark.name]
    unreachable: list[str] = []
    await list_runs(world.context, "app", stack="stack", task="work", unreachable=unreachable)
    assert unreachable == [f"app/{dark.name}"]


async def listed(world: World) -> tuple[Machine, ...]:
    found = await world.context.client.list_machines("app", where={marks.POOL: "work"})
    assert found
    return found


async def test_when_a_list_of_a_pool_is_whole(world: World) -> None:
    await world.apply(SPEC)
    whole = await listed(world)
    assert has_all_slots(whole)
    assert not has_all_slots(whole[1:])
    assert not has_all_slots(whole[:-1])
    assert not has_all_slots(())
    assert not is_unfiltered(whole, {marks.POOL: "work"})
    assert is_unfiltered(whole, {marks.POOL: "other"})
    for machine in whole:
        await world.context.client.delete_metadata("app", machine.id, marks.COUNTS)
    assert not has_all_slots(await listed(world))
