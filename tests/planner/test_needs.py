"""What is left out of machines before they are planned makes no difference to any plan."""

from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.model import marks
from reconciler.model.change import Change
from reconciler.model.machine import Event, Exit, Machine, MachineState
from reconciler.model.marks import without_marks
from reconciler.model.plan import Plan
from reconciler.planner.hashes import plan_sha256
from reconciler.planner.needs import needs_of
from reconciler.planner.planner import plan as make_plan
from reconciler.render.text import plan_text
from tests.support.plan_cases import CASES, ROOT, asked_in, observed_of, read_spec
from tests.support.world import app_spec

SPEC = app_spec("    tasks: {work: {command: [run]}}\n    services: {web: {command: [run]}}")


def without_unread_marks(change: Change) -> Change:
    observed = change.observed and change.observed.with_metadata(without_marks(change.observed.metadata))
    return replace(change, observed=observed)


def shown(plan: Plan) -> Any:
    changes = tuple(map(without_unread_marks, plan.changes))
    return replace(plan, changes=changes), plan_text(plan, salt="s"), plan_sha256(plan)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("keeps_marks", [False, True])
def test_the_plan_of_what_is_needed_is_the_plan(case: str, keeps_marks: bool) -> None:
    folder = ROOT / case
    spec = read_spec(folder / "spec.yaml")
    observed, needs = observed_of(folder, spec), needs_of(spec, keeps_marks=keeps_marks)
    reduced = {
        name: replace(app, machines=tuple(map(needs[name], app.machines))) for name, app in observed.apps.items()
    }
    asked = asked_in(folder)
    whole, less = (make_plan(spec, seen, **asked) for seen in (observed, replace(observed, apps=reduced)))
    assert shown(less) == shown(whole)
    if keeps_marks:
        assert less == whole


def machine(name: str, kinds: str = "", *, state: str = "stopped", **metadata: str) -> Machine:
    """A machine with events of these kinds, newest first."""
    config = SPEC.pools[0].config.with_metadata({marks.PREFIX + key: value for key, value in metadata.items()})
    events = tuple(
        Event(
            id=str(number),
            type=kind,
            status="",
            source="",
            timestamp_ms=number,
            exit=Exit(code=1) if kind == "exit" else None,
        )
        for number, kind in enumerate(kinds.split())
    )
    seen = MachineState(state)
    return Machine(app="app", id=name, name=name, state=seen, region="iad", version="1", config=config, events=events)


def kinds_left(seen: Machine) -> str:
    return " ".join(event.type for event in needs_of(SPEC)["app"](seen).events)


def own(pool: str, kinds: str, *, state: str = "stopped") -> Machine:
    name = f"{pool}-iad-0"
    return machine(name, kinds, stack=SPEC.stack, pool=pool, slot=name, state=state)


def test_of_a_task_the_start_of_its_run_and_the_last_update_are_left() -> None:
    kinds = "start exit start update exit start update launch"
    assert kinds_left(own("work", kinds, state="started")) == "start update"
    assert kinds_left(own("work", kinds)) == "update"


def test_of_a_service_that_may_have_crashed_all_events_are_left() -> None:
    for kinds in ("start exit start launch", "stop stop stop"):
        assert kinds_left(own("web", kinds)) == kinds
    assert kinds_left(own("web", "start update launch", state="started")) == "start update"


def test_of_a_machine_of_others_only_its_place_is_left() -> None:
    needed = needs_of(SPEC)["app"]
    for stack in ({}, {"stack": "other", "pool": "x"}):
        less = needed(machine("other", "start launch", **stack))
        assert (less.id, less.name, less.region, less.events) == ("other", "other", "iad", ())
        assert less.metadata == {marks.STACK: "other"} if stack else less.metadata == {}
        assert less.config
        assert less.config.image is None


def test_of_a_machine_whose_release_was_cut_off_all_is_left() -> None:
    whole = machine("other-iad-0", "start launch", pool="other", slot="other-iad-0")
    assert needs_of(SPEC)["app"](whole) is whole


def test_of_a_machine_with_the_name_of_a_slot_and_of_a_dark_one_all_is_left() -> None:
    needed = needs_of(SPEC)["app"]
    for whole in (machine("work-iad-0", "start launch"), replace(machine("other", "start"), config=None)):
        assert needed(whole) is whole


def test_marks_that_only_runs_read_are_left_out_unless_an_apply_may_copy_them() -> None:
    unread = {"r0": "x", "r15": "x", "e3": "x", "k_0123": "x", "f_1_2": "x", "attempt": "x"}
    read = {"stack": SPEC.stack, "pool": "work", "slot": "work-iad-0", "rev": "1", "hw": "1", "plan": "x"}
    seen = machine("work-iad-0", **read, **unread)
    assert needs_of(SPEC)["app"](seen).metadata == {marks.PREFIX + key: value for key, value in read.items()}
    assert needs_of(SPEC, keeps_marks=True)["app"](seen).metadata == seen.metadata
