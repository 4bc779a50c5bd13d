"""The version of a machine guards each update of it, by whichever name the server calls it."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from reconciler.apply.options import Options
from reconciler.canonical.digest import digest_of, live_digest
from reconciler.engine.faults.settings import Behaviour, Settings
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.machine import MachineVersion
from reconciler.model.plan import SavedPlan
from reconciler.model.report import Report, Status
from reconciler.model.run_policy import Override
from reconciler.model.selection import WHOLE
from reconciler.model.spec import Spec
from reconciler.operations.apply import carry_out, propose_apply
from reconciler.operations.consent import Consent
from reconciler.operations.saved_plans import bind
from reconciler.planner.hashes import plan_sha256
from reconciler.render.json import json_text
from reconciler.render.saved import parse_saved, saved_json
from reconciler.slots.versions import are_overrides
from tests.support.faults import UnguardedError
from tests.support.world import NO_IMAGES, TARGET, TOKEN, World, task_spec

Meanwhile = Callable[[World], Awaitable[None]]


def declared(code: int, *, count: str = "2") -> Spec:
    extra = f"        args: [exit, '{code}']\n        overrides: {{args: true}}\n"
    return task_spec("[run, '1']", count=count, extra=extra)


ONE, TWO, FEWER = declared(0), declared(1), declared(0, count="1")
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
    assert {entry.status for entry in report.entries} == {Status.FAILED, Status.SKIPPED}
    assert "reports no version of the machine" in report.entries[0].detail
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


async def review(world: World, spec: Spec) -> SavedPlan:
    """The saved plan of the spec, as it is read from its file."""
    planned = await world.plan(spec)
    saved = bind(planned, spec, TARGET, selection=WHOLE, app=None, adopt=False, allow_destroy=1, images={})
    return parse_saved(json_text(saved_json(saved, salt="s")), name="plan.json")


async def apply_saved(world: World, spec: Spec, saved: SavedPlan, meanwhile: Meanwhile | None = None) -> Report:
    """Applies the saved plan; what happens `meanwhile` comes after its first list."""
    proposal = await propose_apply(world.session, spec, Consent(saved=saved), Options(), images=NO_IMAGES)
    assert not proposal.obstacles, proposal.obstacles
    if meanwhile:
        await meanwhile(world)
    return await carry_out(world.session, proposal)


async def objections(world: World, spec: Spec, saved: SavedPlan) -> tuple[str, ...]:
    return (await propose_apply(world.session, spec, Consent(saved=saved), Options(), images=NO_IMAGES)).objections


def changing_back(*configs: dict[str, Any], position: int = 0) -> Meanwhile:
    """By hand: a machine gets these members of its config in turn, then what it had."""

    async def meanwhile(world: World) -> None:
        machine = world.machines()[position]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        hand = httpx.AsyncClient(base_url="http://127.0.0.1/v1", transport=world.transport, headers=headers)
        for config in (*configs, {}):
            body = {"config": machine.config | config, "skip_launch": True}
            body["current_version"] = world.machines()[position].instance_id
            assert (await hand.post(f"/apps/app/machines/{machine.id}", json=body)).status_code == 200
            await world.context.clock.sleep(60)
        assert world.machines()[position].instance_id != machine.instance_id

    return meanwhile


async def run_with_args(world: World) -> None:
    for code in ("5", "6"):
        assert (await world.invoke(ONE, override=Override(args=("exit", code)))).outcome.exit_code == int(code)


@pytest.mark.parametrize("untold", NAMES)
async def test_a_saved_plan_is_refused_if_a_machine_was_changed_and_changed_back(
    world: World, untold: tuple[str, ...]
) -> None:
    world.transport.untold.update(untold)
    await world.apply(ONE)
    saved = await review(world, TWO)
    await changing_back({"env": {"BY": "hand"}})(world)
    assert plan_sha256(await world.plan(TWO)) == saved.plan_sha256
    [why] = await objections(world, TWO, saved)
    assert why.startswith("app/work-iad-0: machine")
    assert "changed back" in why
    assert not [request for request in world.transport.requests if request.startswith("DELETE")]


@pytest.mark.parametrize(("spec", "position"), [(TWO, 0), (FEWER, 1)])
async def test_it_is_refused_under_the_lease_too(world: World, spec: Spec, position: int) -> None:
    await world.apply(ONE)
    saved = await review(world, spec)
    before = world.machines()[position].config["init"]
    report = await apply_saved(world, spec, saved, changing_back({"env": {"BY": "hand"}}, position=position))
    [failed] = [entry for entry in report.entries if entry.status is Status.FAILED]
    assert "changed back" in failed.detail
    assert world.machines()[position].config["init"] == before


@pytest.mark.parametrize("untold", NAMES)
async def test_runs_with_args_of_their_own_are_no_such_change(world: World, untold: tuple[str, ...]) -> None:
    world.transport.untold.update(untold)
    await world.apply(ONE)
    saved = await review(world, TWO)
    await run_with_args(world)
    report = await apply_saved(world, TWO, saved, run_with_args)
    assert report.is_success, report
    assert not (await world.plan(TWO)).has_changes


async def test_a_plan_of_an_earlier_version_is_bound_to_no_version(world: World) -> None:
    await world.apply(ONE)
    saved = await review(world, TWO)
    changes = tuple(replace(change, expected=replace(change.expected, version=None)) for change in saved.plan.effective)
    await changing_back({"env": {"BY": "hand"}})(world)
    assert (await apply_saved(world, TWO, replace(saved, plan=replace(saved.plan, changes=changes)))).is_success


@pytest.mark.world(Settings(behaviour=Behaviour(keeps_user_config=False)))
async def test_versions_that_are_not_told_count_as_a_change(world: World) -> None:
    await world.apply(ONE)
    saved = await review(world, TWO)
    await run_with_args(world)
    assert "changed back" in (await objections(world, TWO, saved))[0]


@pytest.mark.parametrize("is_newest_first", [False, True])
@pytest.mark.parametrize(
    ("history", "is_fine"),
    [
        ("a", True),
        ("ao", True),
        ("aoa", True),
        ("aoaooa", True),
        ("ab", False),
        ("aba", False),
        ("aob", False),
        ("aoboa", False),
        ("aoaa", False),
        ("ao?a", False),
        ("?a", False),
        ("oa", True),
        ("ob", False),
    ],
)
def test_which_versions_are_those_of_runs(history: str, is_fine: bool, is_newest_first: bool) -> None:
    """`a` is what was reviewed, `b` another config, `o` an override of `a`, `?` one without its config."""
    configs = {name: MachineConfig(document={"image": name}) for name in "ab"}
    mark = marks.override_of("01", "0", live_digest(configs["a"]))
    configs["o"] = MachineConfig(document={"image": "o", "metadata": {marks.OVERRIDE: mark}})
    versions = [MachineVersion(version=str(n), config=configs.get(one)) for n, one in enumerate(history)]
    reviewed, live = versions[0].version, versions[-1].version
    told = versions[::-1] if is_newest_first else versions
    assert are_overrides(told, reviewed=reviewed, live=live) is is_fine
    assert not are_overrides(told, reviewed="pruned", live=live)
    assert not are_overrides(told, reviewed=reviewed, live="pruned")
    without = [replace(one, config=None) if one.version == "0" else one for one in told]
    if history.startswith("ao"):
        assert are_overrides(without, reviewed="1", live=live) is is_fine


@pytest.mark.parametrize(
    ("history", "reverts", "is_fine"),
    [
        ("apa", 1, True),
        ("apa", 0, False),
        ("apapa", 2, True),
        ("apapa", 1, False),
        ("apb", 1, False),
        ("aqa", 1, False),
    ],
)
def test_an_update_of_the_plan_that_the_platform_took_back_is_no_change(
    history: str, reverts: int, is_fine: bool
) -> None:
    """`a` is what was reviewed, `p` what the plan made of it, `q` what another plan made, `b` another config."""
    configs = {name: MachineConfig(document={"image": name}) for name in "ab"}
    for name, plan in (("p", "0" * 16), ("q", "1" * 16)):
        made = MachineConfig(document={"image": name})
        metadata = {marks.APPLIED: digest_of(made), f"{marks.DID}0": f"{plan};"}
        configs[name] = made.with_metadata(metadata)
    versions = [MachineVersion(version=str(n), config=configs[one]) for n, one in enumerate(history)]
    last = versions[-1].version
    assert are_overrides(versions, reviewed="0", live=last, plan="0" * 16, reverts=reverts) is is_fine
    assert not are_overrides(versions, reviewed="0", live=last, reverts=reverts)
