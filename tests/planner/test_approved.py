"""What is due is judged by the set of changes that was approved."""

from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.canonical.change_hashes import change_hashes, hashes_of, set_sha256
from reconciler.model.approval import Approval, approval_text, approvals_in, parse_approval
from reconciler.model.change import Action, Cause, Change, FieldChange
from reconciler.model.config import MachineConfig
from reconciler.model.desired import DesiredMachine, Expected
from reconciler.model.ip_address import IpKind
from reconciler.model.plan import AppCreation, DeletionLimit, IpAllocation, Plan
from reconciler.model.spec import PoolKind, Slot
from reconciler.planner.approved import ApprovedSet, early_set, lacks_allowance, not_approved, within
from reconciler.planner.hashes import plan_sha256

SLOT = Slot(app="app", pool="work", region="iad", number=0)


def desired(digest: str = "1:b", **members: Any) -> DesiredMachine:
    config = MachineConfig(document={"image": "i"})
    return DesiredMachine(slot=SLOT, kind=PoolKind.TASK, config=config, digest=digest, **members)


def change(action: Action, **members: Any) -> Change:
    given: dict[str, Any] = {"slot": SLOT, "kind": PoolKind.TASK, "action": action, "reason": "why"}
    if action is not Action.CREATE:
        given |= {"machine_id": "m1", "expected": Expected(digest="d", applied="1:a", version="v")}
    if action is not Action.DESTROY:
        given["desired"] = desired()
    return Change(**given | members)


def plan(*changes: Change, **members: Any) -> Plan:
    return Plan(stack="stack", changes=changes, **{"apps": (), **members})


def settings(*fields: tuple[str, object, object]) -> Change:
    shown = (FieldChange(path=path, observed=old, desired=new, cause=Cause.SPEC) for path, old, new in fields)
    return change(Action.SETTINGS, fields=tuple(shown), desired=None, machine_id=None, expected=Expected())


def approved(*changes: Change, **members: Any) -> ApprovedSet:
    return ApprovedSet(hashes=frozenset(change_hashes(plan(*changes, **members))))


UPDATE, REPLACE, ADOPT = change(Action.UPDATE), change(Action.REPLACE), change(Action.ADOPT)
CREATE, DESTROY, START = change(Action.CREATE), change(Action.DESTROY), change(Action.START)
ALL = (UPDATE, REPLACE, ADOPT, CREATE, DESTROY, START)
WITH_APP = {
    "apps": (AppCreation(name="app", org="personal"),),
    "allocations": (IpAllocation(app="app", kind=IpKind.V6, reason="why", code="missing"),),  # type: ignore[arg-type]
}


def test_each_change_has_a_hash_of_its_own_and_the_plan_that_of_their_set() -> None:
    one = plan(UPDATE, settings(("timeout", "10m", "1h"), ("protect", False, True)), **WITH_APP)
    found = change_hashes(one)
    assert len(found) == len(set(found)) == 5
    assert plan_sha256(one) == set_sha256(reversed(found)) == set_sha256([*found, found[0]])
    assert change_hashes(plan()) == ()
    assert hashes_of("stack", change(Action.WATCH)) == hashes_of("stack", change(Action.NONE)) == ()


@pytest.mark.parametrize(
    "other",
    [
        {"machine_id": "m2"},
        {"expected": Expected(digest="e", applied="1:a")},
        {"expected": Expected(digest="d", applied="1:c")},
        {"slot": replace(SLOT, number=1)},
        {"desired": desired("1:c")},
        {"kind": PoolKind.SERVICE},
    ],
)
def test_an_update_is_bound_to_its_machine_and_config_and_is_of_its_target(other: dict[str, Any]) -> None:
    assert approved(UPDATE).holds(plan(), UPDATE)
    assert not approved(UPDATE).holds(plan(), replace(UPDATE, **other))
    assert hashes_of("other", UPDATE) != hashes_of("stack", UPDATE)


@pytest.mark.parametrize(
    "other",
    [
        {"deferred": "busy"},
        {"reason": "another"},
        {"depends_on": ("app/x",)},
        {"expected": Expected(digest="d", applied="1:a", version="w")},
        {"anchor": "work-iad-9"},
    ],
)
def test_what_says_nothing_of_the_change_is_not_in_its_hash(other: dict[str, Any]) -> None:
    for one in ALL:
        if one is not CREATE or "expected" not in other:
            assert hashes_of("stack", replace(one, **other)) == hashes_of("stack", one)


def test_a_create_is_bound_to_nothing_and_one_that_a_replace_left_is_approved() -> None:
    assert approved(REPLACE).holds(plan(), CREATE)
    assert not approved(UPDATE).holds(plan(), CREATE)
    assert not approved(CREATE).holds(plan(), REPLACE)
    assert approved(REPLACE).holds(plan(), change(Action.DESTROY))
    assert not approved(CREATE).holds(plan(), replace(CREATE, desired=desired(launch=True)))


def test_an_adoption_is_bound_to_the_machine_and_its_config_and_to_no_mark() -> None:
    marked = replace(ADOPT, expected=Expected(digest="d", applied="1:z"))
    assert approved(ADOPT).holds(plan(), marked)
    assert not approved(ADOPT).holds(plan(), replace(marked, expected=Expected(digest="e")))


def test_the_settings_of_a_pool_are_part_of_what_makes_its_anchor_and_else_of_no_other_change() -> None:
    for one in (CREATE, REPLACE, ADOPT):
        anchor = replace(one, anchor=SLOT.name, desired=desired(anchor=SLOT.name, run_policy="10;;"))
        longer = replace(anchor, desired=desired(anchor=SLOT.name, run_policy="20;;"))
        assert not approved(anchor).holds(plan(), longer)
    update = replace(UPDATE, anchor=SLOT.name, desired=desired(anchor=SLOT.name, run_policy="10;;"))
    assert approved(update).holds(plan(), UPDATE)


def test_settings_that_are_done_in_part_are_finished() -> None:
    both = settings(("timeout", "10m", "1h"), ("protect", False, True))
    assert approved(both).holds(plan(), settings(("protect", False, True)))
    assert not approved(both).holds(plan(), settings(("protect", True, False)))
    assert not approved(both).holds(plan(), settings(("timeout", "5m", "1h")))


def test_what_is_above_the_deletion_limit_must_be_approved_with_its_allowance() -> None:
    above = DeletionLimit(destroys=4, of=5, is_allowed=True)
    for one in (DESTROY, REPLACE):
        now, allowed = plan(one, deletion_limit=above), approved(one, deletion_limit=above)
        assert allowed.holds(now, one)
        assert allowed.holds(plan(one), one), "what is left may be below the limit"
        assert not approved(one).holds(now, one)
        assert lacks_allowance(now, approved(one))
        assert not lacks_allowance(now, allowed)
        assert not lacks_allowance(now, approved())
    duplicate = replace(DESTROY, is_duplicate=True)
    assert approved(duplicate).holds(plan(duplicate, deletion_limit=above), duplicate)


def test_what_is_due_and_not_approved_is_named_with_its_slot_and_fields_and_left_out() -> None:
    due = plan(replace(UPDATE, reason="the spec changed: env.A"), CREATE, change(Action.NONE), **WITH_APP)
    lines = not_approved(due, ApprovedSet(hashes=frozenset()))
    assert lines == (
        "app app: it is to be created, which was not approved",
        "app app: address v6 is to be allocated, which was not approved",
        "app/work-iad-0: update is due now, which was not approved (the spec changed: env.A)",
        "app/work-iad-0: create is due now, which was not approved (why)",
    )
    assert not within(due, ApprovedSet(hashes=frozenset())).has_changes
    assert not_approved(due, approved(UPDATE, CREATE, **WITH_APP)) == ()
    assert within(due, approved(UPDATE, CREATE, **WITH_APP)) == due
    many = plan(*(replace(CREATE, slot=replace(SLOT, number=number)) for number in range(30)))
    assert not_approved(many, approved())[20:] == ("and 10 more",)


def test_a_plan_of_an_early_version_is_judged_by_what_its_file_shows() -> None:
    anchor = replace(CREATE, anchor=SLOT.name, desired=desired(anchor=SLOT.name, run_policy="10;;"))
    read = plan(CREATE, UPDATE, DESTROY, START, settings(("timeout", "1m", "2m")), **WITH_APP)
    early = ApprovedSet(hashes=early_set(read), is_of_early_version=True)
    for one in (anchor, UPDATE, DESTROY, START, settings(("timeout", "1m", "2m"))):
        assert early.holds(plan(), one)
    assert not early.holds(plan(), replace(UPDATE, machine_id="m2"))
    assert not early.holds(plan(), replace(CREATE, desired=desired("1:c")))
    assert not early.holds(plan(), ADOPT)


def test_the_text_of_an_approval_reads_back() -> None:
    changes = change_hashes(plan(UPDATE, CREATE))
    for hashes in (changes, ()):
        text = approval_text(set_sha256(hashes), hashes)
        assert parse_approval(text) == Approval(set_sha256(hashes), frozenset(hashes))
        page = f"# a plan\n`image: x@sha256:{'0' * 64}`\n<!-- reconciler plan {text} -->\n"
        assert approvals_in(page) == [text]
    bare = set_sha256(changes)
    assert parse_approval(bare) == Approval(bare)
    assert approvals_in(f" {bare}\n") == [bare]
    for wrong in ("", "sha256:12", f"{bare}+x", f"{bare}+{changes[0]},", f"{bare} {bare}"):
        with pytest.raises(ValueError, match="expected sha256:"):
            parse_approval(wrong)
