"""Args and variables of one run: allowed by the spec, gone after it, and never drift, wherever it was interrupted."""

import asyncio
from typing import Any

import pytest

from reconciler.engine.faults.settings import Behaviour, Settings
from reconciler.model import marks
from reconciler.model.change import Action
from reconciler.model.run import OutcomeName
from reconciler.model.run_policy import Override, RunPolicy, objection_to, parse_run_policy
from reconciler.model.spec import Spec
from reconciler.slots.override import restore_if_idle
from tests.support.faults import FAULTS, after_requests, dying, shape
from tests.support.world import World, open_world, task_spec

ALLOWED = "        args: [exit, '1']\n        env: {LEVEL: low}\n        overrides: {args: true, env: [LEVEL, MORE]}\n"
OTHER = Override(args=("exit", "5"), env=(("LEVEL", "high"),))


def spec(*, count: str = "1", extra: str = ALLOWED, command: str = "[run, '1']") -> Spec:
    return task_spec(command, count=count, extra=extra)


def words(world: World) -> list[tuple[str, ...]]:
    return [tuple(launch.commands[0].words) for launch in world.runtime.starts]


def configs(world: World) -> list[dict[str, Any]]:
    return [
        {key: machine.config.get(key) for key in ("init", "env")}
        | {"override": marks.OVERRIDE in machine.config["metadata"]}
        for machine in world.machines()
    ]


DECLARED = {
    "init": {"cmd": ["run", "1", "exit", "1"]},
    "env": {"LEVEL": "low"},
    "override": False,
}


@pytest.mark.parametrize("declared", [spec(), spec(command="[run, '1']", extra=ALLOWED + "        timeout: 60s\n")])
async def test_a_run_has_its_own_args_and_variables_and_the_next_one_the_tasks(world: World, declared: Spec) -> None:
    await world.apply(declared)
    assert (await world.invoke(declared, override=OTHER)).outcome.exit_code == 5
    assert configs(world) == [DECLARED]
    assert not (await world.plan(declared)).has_changes
    assert (await world.invoke(declared)).outcome.exit_code == 1
    assert words(world) == [("run", "1", "exit", "5"), ("run", "1", "exit", "1")]
    environments = [launch.commands[0].env for launch in world.runtime.starts]
    assert [environment["LEVEL"] for environment in environments] == ["high", "low"]


@pytest.mark.parametrize(
    ("override", "why"),
    [
        (Override(args=("x",)), "args"),
        (Override(env=(("LEVEL", "x"), ("PATH", "x"))), "PATH"),
        (Override(env=(("PATH", "x"),)), "PATH"),
    ],
)
async def test_what_was_not_applied_as_allowed_is_refused(world: World, override: Override, why: str) -> None:
    await world.apply(spec(extra="        overrides: {env: [LEVEL]}\n"))
    run = await world.invoke(spec(), override=override)
    assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.REFUSED, 125)
    assert why in run.outcome.message
    assert "overrides" in (run.outcome.remedy or "")
    assert not world.runtime.starts


async def test_terms_that_changed_alone_are_applied_though_no_machine_changes(world: World) -> None:
    closed, opened = spec(extra="        args: [exit, '1']\n        env: {LEVEL: low}\n"), spec()
    await world.apply(closed)
    assert [change.action for change in (await world.plan(opened)).effective] == [Action.SETTINGS]
    assert (await world.apply(opened)).is_success
    assert (await world.invoke(opened, override=OTHER)).outcome.exit_code == 5


async def test_a_run_of_its_own_is_no_drift_while_it_goes_on_and_no_reason_to_refuse_a_plan(world: World) -> None:
    declared = spec()
    changed = spec(command="[run, '2']")
    await world.apply(declared)
    planned = await world.plan(changed)
    override = Override(args=("run", "100", "exit", "5"), env=(("LEVEL", "high"),))
    await world.invoke(declared, override=override, is_waiting=False)
    assert not (await world.plan(declared)).has_changes
    deferred = await world.plan(changed)
    assert [field.path for change in deferred.effective for field in change.fields] == ["init.cmd"]
    await world.context.clock.sleep(200)
    from reconciler.apply.apply import apply

    report = await apply(world.context, changed, planned)
    assert report.is_success, report
    assert configs(world)[0]["init"] == {"cmd": ["run", "2", "exit", "1"]}
    assert configs(world)[0]["env"] == {"LEVEL": "low"}
    assert not (await world.plan(changed)).has_changes


@pytest.mark.parametrize("who", ["a run of its own", "a plain run", "an apply", "an apply of drift alone"])
@pytest.mark.parametrize("keeps_user_config", [True, False])
async def test_what_nobody_took_off_the_next_one_does(who: str, keeps_user_config: bool) -> None:
    settings = Settings(behaviour=Behaviour(keeps_user_config=keeps_user_config))
    async with open_world(settings) as world:
        declared = spec()
        await world.apply(declared)
        await world.invoke(declared, override=OTHER, is_waiting=False)
        await world.context.clock.sleep(60)
        assert configs(world)[0]["override"]
        match who:
            case "an apply" | "an apply of drift alone":
                plan = await world.plan(declared)
                assert [dict(write.marks) for write in plan.bookkeeping] == [{marks.OVERRIDE: ""}]
                assert (await world.apply(declared, only_drift=who != "an apply")).is_success
            case "a plain run":
                assert (await world.invoke(declared)).outcome.exit_code == 1
            case _:
                third = Override(env=(("MORE", "1"),))
                assert (await world.invoke(declared, override=third)).outcome.exit_code == 1
                assert world.runtime.starts[-1].commands[0].env["LEVEL"] == "low"
        assert configs(world) == [DECLARED]
        assert not (await world.plan(declared)).has_changes


async def test_nobody_takes_it_off_a_machine_that_runs(world: World) -> None:
    await world.apply(spec())
    override = Override(args=("run", "50", "exit", "5"))
    going = asyncio.ensure_future(world.invoke(spec(), override=override))
    await world.context.clock.sleep(10)
    [machine] = await world.context.client.list_machines("app") or ()
    for ulid in (None, marks.override_owner(machine.metadata[marks.OVERRIDE])):
        await restore_if_idle(world.context, machine, ulid=ulid)
    assert configs(world)[0]["override"]
    assert (await going).outcome.exit_code == 5
    assert configs(world) == [DECLARED]


async def request_count() -> int:
    async with open_world() as world:
        await world.apply(spec())
        began = len(world.transport.requests)
        await world.invoke(spec(), override=OTHER)
        return len(world.transport.requests) - began


async def is_as_declared(world: World) -> None:
    """A later run is the task's own, and then nothing is left of the other one."""
    world.transport.relent()
    await world.context.clock.sleep(200)
    assert (await world.invoke(spec(), queue_timeout_s=600.0)).outcome.exit_code == 1
    assert words(world)[-1] == ("run", "1", "exit", "1")
    assert configs(world) == [DECLARED]
    assert not (await world.plan(spec())).has_changes


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_at_any_request_never_runs_it_twice_nor_another_command(fault: str) -> None:
    async def scenario(position: int) -> None:
        async with open_world() as world:
            await world.apply(spec())
            world.transport.strike(fault, ahead=position)
            try:
                run = await world.invoke(spec(), override=OTHER)
            except Exception as error:  # the API failed: said
                assert type(error).__name__ == "ApiError"  # noqa: PT017
            else:
                assert run.outcome.exit_code in {5, 121}, run
            assert words(world) in ([], [("run", "1", "exit", "5")])
            await is_as_declared(world)

    for position in range(await request_count()):
        await scenario(position)


@pytest.mark.slow
async def test_killed_at_any_request_the_next_run_is_the_tasks_own() -> None:
    async def scenario(position: int) -> None:
        async with open_world() as world:
            await world.apply(spec())
            with dying(world.transport, after_requests(position)) as death:
                await world.invoke(spec(), override=OTHER)
            assert death.is_dead
            await is_as_declared(world)

    for position in range(await request_count()):
        await scenario(position)


async def test_the_same_key_with_other_args_is_refused(world: World) -> None:
    await world.apply(spec(count="2"))
    first = await world.invoke(spec(count="2"), override=OTHER, key="k")
    again = await world.invoke(spec(count="2"), override=OTHER, key="k")
    assert (again.id, again.outcome.exit_code) == (first.id, 5)
    others = [Override(), Override(args=("exit", "6"), env=OTHER.env), Override(args=OTHER.args)]
    for other in others:
        run = await world.invoke(spec(count="2"), override=other, key="k")
        assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.REFUSED, 125)
        assert "another command" in run.outcome.message
    assert len(world.runtime.starts) == 1


async def test_many_at_once_with_and_without_each_run_what_they_asked_for(world: World) -> None:
    declared = spec(count="3")
    await world.apply(declared)
    wanted = [None if number % 3 == 0 else number % 7 + 20 for number in range(21)]

    async def one(code: int | None) -> int:
        override = Override() if code is None else Override(args=("exit", str(code)))
        return (await world.invoke(declared, override=override, queue_timeout_s=3600.0)).outcome.exit_code

    codes = await asyncio.gather(*(one(code) for code in wanted))
    assert codes == [1 if code is None else code for code in wanted]
    assert configs(world) == [DECLARED] * 3
    assert world.runtime.most_at_once_on_a_machine == 1


async def test_the_calls_that_args_of_its_own_cost(world: World) -> None:
    await world.apply(spec())
    await world.context.clock.sleep(60)
    world.transport.requests.clear()
    await world.invoke(spec(), override=OTHER)
    machine = "/apps/*/machines/*"
    assert [shape(request) for request in world.transport.requests] == [
        "GET /apps/*/machines",
        f"POST {machine}/lease",
        f"GET {machine}",
        f"POST {machine}",  # the update
        f"GET {machine}/wait",
        f"GET {machine}",
        f"POST {machine}/metadata/reconciler_r0",
        f"POST {machine}/start",
        f"GET {machine}",
        f"DELETE {machine}/lease",
        f"GET {machine}/wait",
        f"GET {machine}",
        f"POST {machine}/lease",
        f"GET {machine}",
        f"GET {machine}/versions",
        f"POST {machine}",
        f"GET {machine}/wait",
        f"GET {machine}",
        f"DELETE {machine}/lease",
    ]


@pytest.mark.parametrize(
    "policy",
    [
        RunPolicy(),
        RunPolicy(timeout_s=600, args_after=2, env=frozenset({"A", "B"})),
        RunPolicy(timeout_s=0.5, args_after=0),
    ],
)
def test_a_run_policy_survives_their_text(policy: RunPolicy) -> None:
    assert parse_run_policy(policy.to_text()) == policy


@pytest.mark.parametrize("text", ["", ";", ";;;", "x;;", ";x;", "-;-;-"])
def test_what_are_no_terms_are_none(text: str) -> None:
    assert parse_run_policy(text) is None


def test_no_override_is_always_allowed_and_the_repr_hides_values() -> None:
    assert objection_to(Override(), RunPolicy()) is None
    assert "high" not in repr(OTHER)
    assert "exit" not in repr(OTHER)


@pytest.mark.parametrize("fault", ["concurrent_replace", "concurrent_update", "getting_replaced", "not_startable"])
@pytest.mark.parametrize("key", [None, "K"])
@pytest.mark.parametrize("count", ["1", "2"])
async def test_an_update_that_someone_else_came_before_is_no_end_another_slot_or_another_try_is(
    world: World, fault: str, key: str | None, count: str
) -> None:
    extra = "        args: [exit, '1']\n        overrides: {args: true}\n"
    spec = task_spec("[run, '5']", count=count, extra=extra)
    await world.apply(spec)
    await world.context.clock.sleep(60)
    world.engine.faults.add(fault, calls=("update",), times=1)
    run = await world.invoke(spec, override=Override(args=("exit", "4")), key=key)
    assert run.outcome.exit_code == 4, run
    assert len(world.runtime.starts) == 1
