"""hypothesis: random plans that were approved, killed at random and resumed, with others' changes in between.

Whatever happens: no write is outside what was approved, and what is left of it is done in the end. What is approved is
judged here by the plan itself, not by hashes.
"""

import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.canonical.digest import live_digest
from reconciler.errors import BlockedError, ReconcilerError, StalePlanError
from reconciler.model import marks
from reconciler.model.change import Action, Change
from reconciler.model.config import MachineConfig
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.revision import numbered
from reconciler.model.spec import Spec
from reconciler.testing.virtual_time import run_virtually
from tests.support.approvals import ALLOWED, WAYS, apply_approved
from tests.support.faults import DeadError
from tests.support.world import World, open_world, spec_of

pytestmark = pytest.mark.slow

_MACHINE = re.compile(r"/v1/apps/([^/]+)/machines(?:/([^/]+))?(/start|/stop)?")
_MADE_AGAIN = frozenset({Action.CREATE, Action.REPLACE})


@dataclass(frozen=True)
class PoolDraft:
    """A pool of a random spec."""

    name: str
    version: int
    count: int
    timeout_m: int
    is_protected: bool

    def to_yaml(self) -> str:
        own = f", timeout: {self.timeout_m}m" if self.name != "web" else ", rollout: {min_healthy: 0s}"
        protect = ", protect: true" if self.is_protected else ""
        command = "[run, '100000000']" if self.name == "web" else "[exit, '0']"
        return f"{{command: {command}, env: {{V: '{self.version}'}}, count: {self.count}{own}{protect}}}"


def drafts() -> st.SearchStrategy[tuple[PoolDraft, ...]]:
    pool = st.builds(
        PoolDraft,
        st.sampled_from(["alpha", "beta", "web"]),
        st.integers(1, 2),
        st.integers(0, 2),
        st.integers(1, 2),
        st.booleans(),
    )
    return st.lists(pool, min_size=1, max_size=3, unique_by=lambda one: one.name).map(tuple)


def to_spec(pools: tuple[PoolDraft, ...], *, is_protected: bool = True) -> Spec:
    text = "version: 1\nname: stack\napps:\n  app:\n    image: i\n"
    for kind in ("tasks", "services"):
        members = [one for one in pools if (one.name == "web") == (kind == "services")]
        shown = (replace(one, is_protected=one.is_protected and is_protected) for one in members)
        text += f"    {kind}: {{{', '.join(f'{one.name}: {one.to_yaml()}' for one in shown)}}}\n"
    return spec_of(text)


@dataclass(frozen=True)
class Step:
    """One apply of what was approved, killed before its request of this number, and what others do after it."""

    killed_at: int
    meddling: str
    which: int


STEPS = st.lists(
    st.builds(
        Step,
        st.integers(0, 45),
        st.sampled_from(["nothing", "nothing", "edit", "put back", "delete", "another apply", "unmarked key"]),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=3,
)


class Guard:
    """Checks each write of an approved apply against the plan that was approved."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world = world
        self._changes = plan.effective

    def __call__(self, request: httpx.Request) -> None:
        found = _MACHINE.fullmatch(request.url.path)
        if request.method not in {"POST", "DELETE"} or not found:
            return
        if found[3]:
            self._expect(found[2], *Action)
        elif request.method == "DELETE":
            self._expect(found[2], Action.DESTROY, Action.REPLACE)
        else:
            body = json.loads(request.content)
            self._expect_config(found[2], body.get("name"), body["config"]["metadata"][marks.APPLIED])

    def _expect_config(self, machine_id: str | None, name: str | None, applied: str) -> None:
        if machine_id:
            self._expect(machine_id, Action.UPDATE, Action.ADOPT, applied=applied)
        else:
            made = [one for one in self._changes if one.slot.name == name and one.action in _MADE_AGAIN]
            assert applied in {one.desired_digest for one in made}, f"creates {name}"

    def _expect(self, machine_id: str, *actions: Action, applied: str | None = None) -> None:
        live = self._world.engine.store.machine(machine_id)
        assert live
        config = MachineConfig(document=live.config)
        is_bound = any(
            one.machine_id == machine_id
            and one.action in actions
            and (one.expected.digest in {None, live_digest(config)} or len(actions) > 2)
            and (applied is None or one.desired_digest == applied)
            for one in self._changes
        )
        is_new = len(actions) > 2 and any(one.slot.name == live.name for one in self._changes)
        assert is_bound or is_new, f"{actions} of {live.name}"


def is_approved(plan: Plan, change: Change) -> bool:
    """Whether the plan holds the change, by what it is bound to."""
    for one in plan.effective:
        if one.address != change.address:
            continue
        if change.action is Action.SETTINGS and {*change.settings} <= {*one.settings}:
            return True
        if change.action is Action.CREATE and one.action in _MADE_AGAIN and one.desired_digest == change.desired_digest:
            return True
        if change.action is not Action.SETTINGS and one.binding == change.binding:
            return True
    return False


async def meddle(world: World, step: Step, other: Spec, first: dict[str, Any]) -> None:
    machines = world.machines() if "app" in world.engine.store.apps else []
    if step.meddling == "another apply":
        with suppress(ReconcilerError):
            await world.apply(other, revision=numbered(2))
        return
    if not machines or step.meddling == "nothing":
        return
    machine = machines[step.which % len(machines)]
    with suppress(Exception):
        match step.meddling:
            case "edit":
                await world.engine.update("app", machine.id, {"config": machine.config | {"env": {"V": "hand"}}}, None)
            case "put back" if machine.id in first:
                await world.engine.update("app", machine.id, {"config": first[machine.id]}, None)
            case "delete":
                await world.engine.destroy("app", machine.id, None, force=True)
            case "unmarked key":
                world.engine.set_metadata("app", machine.id, {"other_tool": "kept"})


async def killed(world: World, work: Callable[[], Awaitable[Any]], guard: Guard, at: int) -> None:
    """Do the work; before its request of this number the process dies."""
    sent = 0

    def before(request: httpx.Request) -> None:
        nonlocal sent
        sent += 1
        if sent > at:
            raise DeadError
        guard(request)

    world.transport.before = before
    try:
        with suppress(DeadError, BaseExceptionGroup, ReconcilerError):
            await work()
    finally:
        world.transport.before = lambda _request: None


async def refused(resume: Callable[[], Awaitable[Report]]) -> str:
    """Resume, and return why that was refused; empty if it was not, and ended well."""
    try:
        report = await resume()
    except (StalePlanError, BlockedError) as error:
        return str(error)
    assert report.is_success, (report.entries, report.mismatches, report.failures)
    return ""


@given(before=drafts(), after=drafts(), other=drafts(), steps=STEPS, way=st.sampled_from(sorted(WAYS)))
@settings(max_examples=15)
def test_an_approved_plan_does_what_is_left_of_it_and_nothing_else(
    before: tuple[PoolDraft, ...],
    after: tuple[PoolDraft, ...],
    other: tuple[PoolDraft, ...],
    steps: list[Step],
    way: str,
) -> None:
    async def scenario() -> None:
        async with open_world() as world:
            await world.apply(to_spec(before), revision=numbered(1))
            await world.context.clock.sleep(60)
            spec = to_spec(after)
            plan = await world.plan(spec, allow_destroy=ALLOWED)
            if plan.blocked:
                return
            consent, guard = WAYS[way](plan, spec), Guard(world, plan)
            first = {one.id: one.config for one in (world.machines() if "app" in world.engine.store.apps else [])}

            async def resume() -> Report:
                return await apply_approved(world, spec, consent, revision=numbered(2))

            for step in steps:
                await killed(world, resume, guard, step.killed_at)
                await world.context.clock.sleep(400)
                await meddle(world, step, to_spec(other, is_protected=False), first)
                await world.context.clock.sleep(400)
            due = await world.plan(spec, allow_destroy=ALLOWED)
            world.transport.before = guard
            refusal = await refused(resume)
            if refusal:
                is_other = any(not is_approved(plan, one) for one in due.effective) or due.apps or due.blocked
                is_guess = way == "hash" and any(one.meddling != "nothing" for one in steps)
                assert is_other or is_guess or (way == "file" and "changed back" in refusal), refusal
            else:
                assert not (await world.plan(spec)).has_changes

    run_virtually(scenario())
