"""IP addresses of apps: allocated once, whatever becomes of a call, and never released."""

import asyncio

import pytest
from msgspec.structs import replace

from reconciler.machines_api.observe import observe
from reconciler.model.report import Status
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import Spec
from reconciler.operations.consent import Consent
from reconciler.operations.drift import drift
from reconciler.operations.saved_plans import bind
from reconciler.planner.hashes import plan_sha256
from reconciler.render.json import json_text
from reconciler.render.report import report_json, report_text
from reconciler.render.saved import parse_saved, saved_json
from reconciler.slots.lease import hold_lease
from tests.support.faults import FAULTS
from tests.support.world import TARGET, World, spec_of

NEVER_DONE = {"reset before", "500 before", "503 before", "done two minutes later"}


def spec(addresses: str = "", *, count: int = 1) -> Spec:
    declared = f"    addresses: {addresses}\n" if addresses else ""
    return spec_of(
        "version: 1\nname: stack\napps:\n  app:\n    image: registry.example/a:1\n" + declared + "    services:\n"
        f"      web: {{command: [run, '1000000000'], ports: [8080], rollout: {{min_healthy: 0s}}, count: {count}}}\n"
    )


def held(world: World) -> list[str]:
    return [one.kind for one in world.engine.addresses.of("app")]


def asked(world: World) -> list[str]:
    return [request for request in world.transport.requests if request.endswith("/ip_assignments")]


async def test_a_new_app_with_public_ports_gets_the_usual_ones_and_later_plans_leave_it_alone(world: World) -> None:
    planned = await world.plan(spec())
    assert [(one.kind.value, one.code.value) for one in planned.allocations] == [
        ("shared_v4", "public_ports"),
        ("v6", "public_ports"),
    ]
    report = await world.apply(spec())
    assert report.is_success
    assert [(one.kind.value, one.ip) for one in report.allocations] == [
        ("shared_v4", "198.51.100.1"),
        ("v6", "2001:db8::1"),
    ]
    assert "app app created, 2 IP addresses allocated, 1 done" in report_text(report)
    assert asked(world) == ["POST /apps/app/ip_assignments"] * 2
    assert "app: v6 allocated: 2001:db8::1" in world.said
    world.engine.addresses.release("app", "198.51.100.1")
    assert not (await world.plan(spec())).has_changes
    assert asked(world) == ["POST /apps/app/ip_assignments"] * 2


async def test_none_is_given_where_none_is_declared_or_nothing_is_public(world: World) -> None:
    assert (await world.apply(spec("[]"))).is_success
    assert held(world) == []
    assert not (await world.plan(spec("[]"))).has_changes


async def test_what_an_app_declares_is_given_to_it_and_what_it_declares_no_longer_stays(world: World) -> None:
    assert (await world.apply(spec("[]"))).is_success
    assert (await world.apply(spec("[v4, private_v6]"))).is_success
    assert held(world) == ["v4", "private_v6"]
    planned = await world.plan(spec("[v4]"))
    assert not planned.has_changes
    assert [one.kind.value for one in planned.foreign_ips] == ["private_v6"]
    assert (await world.apply(spec("[v4]"))).is_success
    assert (await world.destroy(spec("[v4]"))).is_success
    assert held(world) == ["v4", "private_v6"]


async def test_a_plan_of_some_pools_gives_an_app_that_exists_none(world: World) -> None:
    assert (await world.apply(spec("[]"))).is_success
    assert not (await world.plan(spec("[v4]"), selection=Selection(only=("web",)))).allocations
    assert (await world.plan(spec("[v4]"))).allocations


@pytest.mark.parametrize("existing", [False, True], ids=["new app", "existing app"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_fault_allocates_twice_and_the_next_apply_has_nothing_more_to_do(
    world: World, fault: str, existing: bool
) -> None:
    if existing:
        assert (await world.apply(spec("[]"))).is_success
    world.engine.faults.add(calls=("assign_ip",), times=1, **FAULTS[fault])
    report = await world.apply(spec("[v4]"))
    [ended] = report.allocations
    assert ended.status is (Status.UNKNOWN if fault in NEVER_DONE else Status.DONE), ended
    assert report.is_success == (ended.status is Status.DONE)
    await world.context.clock.sleep(300)
    after = await world.apply(spec("[v4]"))
    assert after.is_success
    assert held(world) == ["v4"]
    assert not (await world.plan(spec("[v4]"))).has_changes


async def test_one_that_appears_after_an_unclear_reply_is_waited_for(world: World) -> None:
    assert (await world.apply(spec("[]"))).is_success
    world.engine.faults.add("late_request", calls=("assign_ip",), seconds=15)  # a call is given up after 10
    [ended] = (await world.apply(spec("[v4]"))).allocations
    assert (ended.status, ended.ip) == (Status.DONE, "203.0.113.1")


async def test_another_kind_does_not_show_that_one_was_allocated(world: World) -> None:
    assert (await world.apply(spec("[v6]"))).is_success
    world.engine.faults.add("lose_request", calls=("assign_ip",))
    [ended] = (await world.apply(spec("[v6, v4]"))).allocations
    assert (ended.status, ended.ip) == (Status.UNKNOWN, None)


async def test_a_lease_of_someone_else_is_not_passed_by(world: World) -> None:
    assert (await world.apply(spec("[]"))).is_success
    [machine] = world.machines()
    async with hold_lease(world.context, "app", machine.id, verb="apply", ttl_s=60):
        report = await world.apply(spec("[v4]"), lock_timeout_s=1)
    assert [one.status for one in report.allocations] == [Status.FAILED]
    assert held(world) == []


async def test_without_the_machine_to_lease_they_are_allocated_all_the_same(world: World) -> None:
    assert (await world.apply(spec("[]"))).is_success
    gone = world.engine.faults.add("vanish", calls=("lease",))
    report = await world.apply(spec("[v4]"))
    assert gone.struck
    assert [one.status for one in report.allocations] == [Status.DONE]
    assert held(world) == ["v4"]


async def test_only_the_addresses_of_an_app_that_another_apply_creates_are_waited_for(world: World) -> None:
    assert (await world.apply(spec("[]"))).is_success
    began = world.context.clock.monotonic()
    assert (await world.apply(spec("[v4]"))).is_success
    assert world.context.clock.monotonic() - began < 1


async def test_a_shared_one_is_asked_for_again_as_an_app_has_one_at_most(world: World) -> None:
    world.engine.faults.add("server_error", calls=("assign_ip",), times=2)
    assert (await world.apply(spec("[shared_v4]"))).is_success
    assert held(world) == ["shared_v4"]


async def test_a_refusal_is_a_failed_change_of_its_own(world: World) -> None:
    world.engine.faults.add("unauthorized", calls=("assign_ip",), times=1)
    report = await world.apply(spec())
    assert not report.is_success
    assert [one.status for one in report.allocations] == [Status.FAILED, Status.DONE]
    assert [one.status for one in report.entries] == [Status.DONE]
    assert [bool(one.detail) for one in report.allocations] == [True, False]
    assert any(line.startswith("app: shared_v4 failed: ") for line in world.said)
    text = report_text(report)
    assert "failed: allocate app shared_v4: " in text
    assert "a later plan allocates only what `addresses` declares" in text
    assert [one["status"] for one in report_json(report)["allocations"]] == ["failed", "done"]
    assert (await world.apply(spec("[shared_v4, v6]"))).is_success
    assert held(world) == ["v6", "shared_v4"]


async def test_after_a_failure_nothing_new_begins_if_that_is_asked_for(world: World) -> None:
    assert (await world.apply(spec("[]"))).is_success
    world.engine.faults.add("unauthorized", calls=("assign_ip",), times=1)
    report = await world.apply(spec("[v6, v4]"), is_failing_fast=True)
    assert [one.status for one in report.allocations] == [Status.FAILED, Status.SKIPPED]
    assert "a later plan allocates" not in report.allocations[0].detail
    assert (await world.apply(spec("[v6, v4]"), is_failing_fast=True)).is_success


@pytest.mark.parametrize("way", ["app_unknown", "unauthenticated", "app_without_rows"])
async def test_a_new_app_that_is_not_known_yet_is_waited_for(world: World, way: str) -> None:
    world.engine.faults.add(way, calls=("assign_ip",), times=20)
    assert (await world.apply(spec())).is_success
    assert held(world) == ["shared_v4", "v6"]


async def test_an_app_that_cannot_be_created_gets_none(world: World) -> None:
    world.engine.faults.add("unauthorized", calls=("create_app",))
    report = await world.apply(spec())
    assert {one.status for one in report.allocations} == {Status.SKIPPED}
    assert all(one.detail.startswith("its app could not be created") for one in report.allocations)


@pytest.mark.parametrize("declared", ["", "[v6, v4]"])
async def test_two_applies_at_once_allocate_once_in_a_new_app(world: World, declared: str) -> None:
    world.engine.faults.add("late_request", calls=("assign_ip",), times=1, seconds=5)
    reports = await asyncio.gather(world.apply(spec(declared)), world.apply(spec(declared)))
    assert all(one.is_success for one in reports), [report_text(one) for one in reports]
    assert sorted(held(world)) == (["v4", "v6"] if declared else ["shared_v4", "v6"])


async def test_two_applies_at_once_allocate_once_where_machines_are(world: World) -> None:
    assert (await world.apply(spec("[]"))).is_success
    reports = await asyncio.gather(world.apply(spec("[v6, v4]")), world.apply(spec("[v6, v4]")))
    assert all(one.is_success for one in reports), [report_text(one) for one in reports]
    assert sorted(held(world)) == ["v4", "v6"]


async def test_a_declared_one_that_is_gone_is_drift_and_one_more_is_foreign(world: World) -> None:
    assert (await world.apply(spec("[shared_v4, v6]"))).is_success
    world.engine.addresses.release("app", "2001:db8::1")
    world.engine.addresses.assign("app", {"type": "v4"})
    found = await drift(world.session, spec("[shared_v4, v6]"))
    assert [one.kind.value for one in found.allocations] == ["v6"]
    assert [one.kind.value for one in found.foreign_ips] == ["v4"]
    assert (await world.apply(spec("[shared_v4, v6]"), only_drift=True)).is_success
    assert held(world) == ["shared_v4", "v4", "v6"]
    assert not (await drift(world.session, spec("[shared_v4, v6]"))).has_changes


async def test_a_saved_plan_holds_its_allocations(world: World) -> None:
    assert (await world.apply(spec("[]"))).is_success
    planned = await world.plan(spec("[v4]"))
    saved = bind(planned, spec("[v4]"), TARGET, selection=WHOLE, app=None, adopt=False, allow_destroy=None, images={})
    read = parse_saved(json_text(saved_json(saved, salt="s")), name="plan.json")
    assert [replace(one, machine_id=None) for one in planned.allocations] == [*read.plan.allocations]


async def test_the_hash_is_of_what_is_allocated(world: World) -> None:
    assert (await world.apply(spec("[]"))).is_success
    hashes = {plan_sha256(await world.plan(spec(declared))) for declared in ("[]", "[v6]", "[v4]", "[v6, v4]")}
    assert len(hashes) == 4
    world.engine.addresses.assign("app", {"type": "v4"})
    assert plan_sha256(await world.plan(spec("[v4]"))) in hashes


async def test_nothing_is_left_of_a_saved_plan_once_what_it_allocates_is_there(world: World) -> None:
    assert (await world.apply(spec("[]"))).is_success
    planned = await world.plan(spec("[v4]"))
    saved = bind(planned, spec("[v4]"), TARGET, selection=WHOLE, app=None, adopt=False, allow_destroy=None, images={})
    world.engine.addresses.assign("app", {"type": "v4"})
    seen = await observe(world.context.client, ["app"], clock=world.context.clock)
    consent = Consent(saved=saved)
    approved = consent.approved(planned, spec("[v4]"), seen)
    assert consent.objections_to(await world.plan(spec("[v4]")), approved) == ()
    [why] = consent.objections_to(await world.plan(spec("[v4, v6]")), approved)
    assert why == "app app: address v6 is to be allocated, which was not approved"
