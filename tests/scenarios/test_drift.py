"""What someone else changed is told from what the spec changed, and can be put back alone."""

import pytest

from reconciler.model import marks
from reconciler.model.plan import Cause, Plan
from reconciler.model.spec import Spec
from reconciler.planner import only_drift, with_drift
from reconciler.testing.virtual_time import run_virtually
from tests.support.world import World, open_world, task_spec

BASE = "        env: {A: '1', B: '1'}\n        guest: shared-cpu-1x\n"
APPLIED = task_spec(count="2", extra=BASE)
WANTED = task_spec(count="3", extra=BASE.replace("cpu-1x", "cpu-2x"))


async def meddle(world: World, name: str, **env: str) -> None:
    """Someone else sets variables on a machine, as with another tool."""
    machine = next(one for one in world.machines() if one.name == name)
    config = machine.config | {"env": machine.config["env"] | env}
    await world.engine.update("app", machine.id, {"config": config, "skip_launch": True}, None)
    await world.actor.clock.sleep(10)


async def drift(world: World, spec: Spec) -> Plan:
    return with_drift(await world.plan(spec, allow_destroy=100))


def test_nothing_is_drift_right_after_an_apply_whatever_the_spec_says_now() -> None:
    async def scenario() -> None:
        async with open_world() as world:
            await world.apply(APPLIED)
            for spec in (APPLIED, WANTED, task_spec(count="0")):
                assert not (await drift(world, spec)).has_changes

    run_virtually(scenario())


@pytest.mark.parametrize("spec", [APPLIED, WANTED], ids=["the spec as it was", "the spec changed too"])
def test_it_names_the_fields_who_and_when(spec: Spec) -> None:
    async def scenario() -> None:
        async with open_world() as world:
            await world.apply(APPLIED)
            await world.actor.clock.sleep(60)
            await meddle(world, "work-iad-1", A="2", C="3")
            [change] = (await drift(world, spec)).effective
            assert change.slot.name == "work-iad-1"
            assert [field.path for field in change.fields] == ["env.A", "env.C"]
            assert {field.cause for field in change.fields} == {Cause.DRIFT}
            assert "changed by someone else: env.A, env.C" in change.reason
            if spec is APPLIED:
                assert "the last update was by user, 2026-01-01 00:01 UTC" in change.reason

    run_virtually(scenario())


def test_only_drift_puts_back_what_was_meddled_with_and_leaves_the_rest_of_the_spec() -> None:
    async def scenario() -> None:
        async with open_world() as world:
            await world.apply(APPLIED)
            await world.actor.clock.sleep(60)
            await meddle(world, "work-iad-1", A="2")
            widened = task_spec(count="3", extra=BASE + "        timeout: 90s\n")

            def plan_of(plan: Plan) -> list[tuple[str, str]]:
                return [(change.slot.name, change.action.value) for change in plan.effective]

            whole = await world.plan(widened)
            assert plan_of(whole) == [("work-iad-1", "update"), ("work-iad-2", "create")]
            assert plan_of(only_drift(whole)) == [("work-iad-1", "update")]
            from reconciler.apply.apply import apply
            from reconciler.apply.options import Options

            report = await apply(world.actor, widened, only_drift(whole), Options(only_drift=True))
            assert report.is_success, report
            assert [machine.config["env"] for machine in world.machines()] == [{"A": "1", "B": "1"}] * 2
            assert world.machines()[0].config["metadata"][marks.TERMS] == ";;"
            assert plan_of(await world.plan(widened)) == [("work-iad-2", "create")]

    run_virtually(scenario())


def test_an_app_that_was_not_observed_is_not_without_drift() -> None:
    async def scenario() -> None:
        async with open_world() as world:
            await world.apply(APPLIED)
            world.engine.adversity.add("empty_list", calls=("list",), times=-1)
            assert (await drift(world, APPLIED)).blocked

    run_virtually(scenario())
