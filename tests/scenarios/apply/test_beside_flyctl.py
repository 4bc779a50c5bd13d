"""Beside Fly's own client: the machines that it makes are seen, left alone and taken over; what it changes is drift."""

from typing import Any

import pytest

from reconciler.engine.models import Machine
from reconciler.errors import BlockedError
from reconciler.model.change import Action, Cause
from reconciler.planner.drift import with_drift
from tests.support.world import World, task_spec

# As `fly machine run` and `fly deploy` send them.
RUN: dict[str, Any] = {
    "config": {
        "init": {"cmd": ["exit", "0"]},
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
        "image": "registry.example/app:1",
        "restart": {"policy": "no"},
        "dns": {},
    },
    "region": "iad",
    "skip_secrets": False,
}
DEPLOYED = {
    "fly_flyctl_version": "0.4.87",
    "fly_platform_version": "v2",
    "fly_process_group": "app",
    "fly_release_id": "fe793990fdbf330a",
    "fly_release_version": "1",
}
SPEC = task_spec(extra="        env: {A: '1'}\n")


async def fly_run(world: World, name: str, metadata: dict[str, str] | None = None) -> Machine:
    """Makes a machine as flyctl does; with the metadata of `fly deploy` where they are given."""
    if "app" not in world.engine.store.apps:
        world.engine.create_app("app", "personal")
    config = RUN["config"] | ({"metadata": metadata} if metadata else {})
    machine = world.engine.create("app", RUN | {"name": name, "config": config})
    await world.context.clock.sleep(5)
    return machine


async def fly_update(world: World, name: str, **env: str) -> None:
    """Changes the environment as `fly machine update` does: under a lease, all of the config, no version."""
    machine = one(world, name)
    nonce = world.engine.leases.take("app", machine.id, ttl_s=120, description="", nonce=None).nonce
    config = machine.config | {"env": (machine.config.get("env") or {}) | env}
    body = RUN | {"name": name, "config": config, "skip_launch": True}
    await world.engine.update("app", machine.id, body, nonce)
    await world.context.clock.sleep(5)
    world.engine.leases.release("app", machine.id, nonce)


def one(world: World, name: str) -> Machine:
    return next(machine for machine in world.machines() if machine.name == name)


async def test_its_machines_are_listed_as_foreign_and_outlive_apply_and_destroy(world: World) -> None:
    by_run, by_deploy = await fly_run(world, "web"), await fly_run(world, "blue-fire-1", DEPLOYED)
    plan = await world.plan(SPEC)
    assert [machine.name for machine in plan.foreign] == ["blue-fire-1", "web"]
    assert {change.action for change in plan.effective} == {Action.CREATE}
    assert (await world.apply(SPEC)).is_success
    assert (await world.destroy(SPEC)).is_success
    assert {machine.id for machine in world.machines()} == {by_run.id, by_deploy.id}


@pytest.mark.parametrize("metadata", [None, DEPLOYED], ids=["machine run", "deploy"])
async def test_one_with_the_name_of_a_slot_is_taken_over_and_keeps_what_is_its_own(
    world: World, metadata: dict[str, str] | None
) -> None:
    theirs = await fly_run(world, "work-iad-0", metadata)
    with pytest.raises(BlockedError, match="--adopt"):
        await world.apply(SPEC)
    plan = await world.plan(SPEC, adopt=True)
    [adopted] = [change for change in plan.effective if change.action is Action.ADOPT]
    assert ("`fly deploy` manages this app too" in adopted.reason) is bool(metadata)
    assert (await world.apply(SPEC, adopt=True)).is_success
    assert one(world, "work-iad-0").id == theirs.id
    assert (metadata or {}).items() <= one(world, "work-iad-0").config["metadata"].items()
    assert not (await world.plan(SPEC)).has_changes


async def test_what_machine_update_changes_is_drift_by_whoever_the_events_name(world: World) -> None:
    await world.apply(SPEC)
    await fly_update(world, "work-iad-1", A="2", B="3")
    [change] = with_drift(await world.plan(SPEC)).effective
    assert {(field.path, field.cause) for field in change.fields} == {
        ("env.A", Cause.DRIFT),
        ("env.B", Cause.DRIFT),
    }
    assert "the last update was by user" in change.reason
    assert "flyctl" not in change.reason, "it leaves no trace of itself"
    assert (await world.apply(SPEC)).is_success
    assert one(world, "work-iad-1").config["env"] == {"A": "1"}


async def test_drift_names_it_where_it_left_its_version(world: World) -> None:
    await fly_run(world, "work-iad-0", DEPLOYED)
    await world.apply(SPEC, adopt=True)
    await fly_update(world, "work-iad-0", A="2")
    [change] = with_drift(await world.plan(SPEC)).effective
    assert "(flyctl 0.4.87; the last update was by user," in change.reason


async def test_a_clone_of_ours_is_foreign_though_it_has_our_marks(world: World) -> None:
    await world.apply(SPEC)
    config = one(world, "work-iad-0").config
    world.engine.create("app", RUN | {"name": "copy", "config": config})
    await world.context.clock.sleep(5)
    plan = await world.plan(SPEC)
    assert not plan.has_changes
    assert [machine.name for machine in plan.foreign] == ["copy"]
    assert (await world.destroy(SPEC)).is_success
    assert [machine.name for machine in world.machines()] == ["copy"]
