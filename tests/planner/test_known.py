"""What is remembered of machines that were as declared, and when it no longer holds."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.config import MachineConfig
from reconciler.model.machine import HostStatus, Machine, MachineState, ObservedApp
from reconciler.model.spec import App
from reconciler.planner.plan_cache import Known, known_of, recognized
from tests.support.world import spec_of, task_spec

AT = datetime(2026, 1, 1, tzinfo=UTC)
[APP] = task_spec(count="2", extra="        env: {A: '1'}\n").apps
[OTHER] = task_spec(count="2", extra="        env: {A: '2'}\n").apps
OVERRIDE = "reconciler_override"


def observed(app: App = APP) -> ObservedApp:
    """The app's machines, as a list of the app tells of them."""
    [pool] = app.pools
    machines = tuple(
        Machine(
            app=app.name,
            id=f"m-{slot.number}",
            name=slot.name,
            state=MachineState.STOPPED,
            region=slot.region,
            instance_id=f"v-{slot.number}",
            config=pool.config.with_metadata({"reconciler_stack": "stack"}),
        )
        for slot in pool.slots
    )
    return ObservedApp(name=app.name, exists=True, machines=machines)


def overview(machine: Machine) -> Machine:
    """The machine, as its organisation's list tells of it."""
    return replace(machine, config=MachineConfig(document={"image": "i", "metadata": dict(machine.metadata)}))


def marked(machine: Machine, key: str, value: str = "1") -> Machine:
    assert machine.config
    return replace(machine, config=machine.config.with_metadata({**machine.metadata, key: value}))


SEEN = tuple(overview(machine) for machine in observed().machines)
KNOWN = known_of(APP, observed())
FIRST, SECOND = SEEN


def test_machines_of_the_same_versions_get_the_config_that_is_declared() -> None:
    assert recognized(APP, SEEN, KNOWN, AT) == observed()
    assert recognized(APP, (SECOND, FIRST), KNOWN, AT) is not None


def test_what_is_told_now_counts_not_what_was_told() -> None:
    moved = replace(marked(FIRST, "mine"), state=MachineState.STARTED, region="fra")
    app = recognized(APP, (moved, SECOND), KNOWN, AT)
    assert app is not None
    [machine, _second] = app.machines
    assert (machine.state, machine.region, machine.metadata["mine"]) == (MachineState.STARTED, "fra", "1")


@pytest.mark.parametrize(
    "seen",
    [
        (),
        (FIRST,),
        (FIRST, FIRST),
        (FIRST, SECOND, SECOND),
        (FIRST, SECOND, replace(SECOND, id="m-3")),
        (FIRST, replace(SECOND, id="m-3")),
        (FIRST, replace(SECOND, instance_id="v-3")),
        (FIRST, replace(SECOND, instance_id="")),
        (FIRST, replace(SECOND, name="mine")),
        (FIRST, marked(SECOND, OVERRIDE)),
    ],
)
def test_anything_else_is_not_recognised(seen: tuple[Machine, ...]) -> None:
    assert recognized(APP, seen, KNOWN, AT) is None


def test_what_is_declared_otherwise_now_is_not_recognised() -> None:
    assert recognized(OTHER, SEEN, KNOWN, AT) is None
    assert recognized(replace(APP, pools=()), SEEN, KNOWN, AT) is None


def test_no_machines_are_never_recognised() -> None:
    assert recognized(APP, (), {}, AT) is None


@pytest.mark.parametrize(
    ("min_healthy", "updated_s", "state", "is_recognised"),
    [
        ("10s", 3600, MachineState.STARTED, True),
        ("10s", 3600, MachineState.SUSPENDED, True),
        ("10s", 60, MachineState.STARTED, False),
        ("10s", None, MachineState.STARTED, False),
        ("10s", 3600, MachineState.STOPPED, False),
        ("5m", 300, MachineState.STARTED, False),
        ("0s", None, MachineState.STOPPED, True),
    ],
)
def test_a_service_that_may_have_crashed_is_not_recognised(
    min_healthy: str, updated_s: int | None, state: MachineState, is_recognised: bool
) -> None:
    web = f"web: {{command: [serve], rollout: {{min_healthy: {min_healthy}}}}}"
    [app] = spec_of(f"version: 1\nname: stack\napps: {{app: {{image: i, services: {{{web}}}}}}}\n").apps
    updated_at = None if updated_s is None else AT - timedelta(seconds=updated_s)
    seen = tuple(replace(overview(one), updated_at=updated_at, state=state) for one in observed(app).machines)
    assert (recognized(app, seen, known_of(app, observed(app)), AT) is not None) is is_recognised


def test_versions_and_digests_are_remembered() -> None:
    assert KNOWN.keys() == {"m-0", "m-1"}
    assert {one.version for one in KNOWN.values()} == {"v-0", "v-1"}
    assert len({one.digest for one in KNOWN.values()}) == 1
    assert known_of(OTHER, observed(OTHER))["m-0"] != KNOWN["m-0"] != Known("v-0", "")


@pytest.mark.parametrize(
    "change",
    [
        lambda machine: marked(machine, OVERRIDE),
        lambda machine: replace(machine, host_status=HostStatus.UNREACHABLE),
        lambda machine: replace(machine, config=None),
        lambda machine: replace(machine, instance_id=""),
        lambda machine: replace(machine, name="mine"),
    ],
)
def test_nothing_is_remembered_of_an_app_that_may_not_stay_so(change: Callable[[Machine], Machine]) -> None:
    first, second = observed().machines
    assert known_of(APP, ObservedApp(name="app", exists=True, machines=(first, change(second)))) == {}
