"""hypothesis: random stacks in random worlds, two applies and several invokes interleaved at random.

Safety holds at every request; two applies without faults converge.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.engine.faults.settings import Behaviour, Latency, Settings
from reconciler.errors import ReconcilerError
from reconciler.model import marks
from reconciler.model.change import Action
from reconciler.model.report import Status
from reconciler.model.run import Run
from reconciler.model.spec import PoolKind, Spec
from reconciler.testing.virtual_time import run_virtually
from tests.support.faults import FAULTS
from tests.support.world import World, open_world, spec_of

pytestmark = pytest.mark.slow

REGIONS = ("iad", "ams")


@dataclass(frozen=True)
class PoolDraft:
    """A pool of a random spec."""

    name: str
    kind: str
    version: int
    counts: tuple[int, int]

    def to_yaml(self) -> str:
        command = "[run, '7', exit, '3']" if self.kind == "tasks" else "[run, '100000000']"
        counts = ", ".join(f"{region}: {count}" for region, count in zip(REGIONS, self.counts, strict=True))
        return f"{{command: {command}, env: {{V: '{self.version}'}}, count: {{{counts}}}}}"


def drafts() -> st.SearchStrategy[tuple[PoolDraft, ...]]:
    kinds = {"alpha": "tasks", "beta": "tasks", "web": "services"}
    pool = st.builds(
        lambda name, version, counts: PoolDraft(name, kinds[name], version, counts),
        st.sampled_from(sorted(kinds)),
        st.integers(1, 3),
        st.tuples(st.integers(0, 2), st.integers(0, 1)),
    )
    return st.lists(pool, max_size=3, unique_by=lambda one: one.name).map(tuple)


def to_spec(pools: tuple[PoolDraft, ...]) -> Spec:
    text = "version: 1\nname: stack\napps:\n  app:\n    image: i\n"
    for kind in ("tasks", "services"):
        members = [one for one in pools if one.kind == kind]
        text += f"    {kind}: {{{', '.join(f'{one.name}: {one.to_yaml()}' for one in members)}}}\n"
    return spec_of(text)


@dataclass(frozen=True)
class Accident:
    """Something that happened to a machine since it was applied."""

    what: str
    which: int


ACCIDENTS = st.lists(
    st.builds(
        Accident,
        st.sampled_from(["drift", "foreign", "destroy", "duplicate", "unmark", "start", "stop", "metadata", "dark"]),
        st.integers(0, 5),
    ),
    max_size=4,
)


async def befall(world: World, accident: Accident) -> None:
    machines = world.machines()
    engine = world.engine
    if accident.what == "foreign" or not machines:
        name = f"foreign-{accident.which}"
        if "app" in engine.store.apps and name not in {machine.name for machine in machines}:
            engine.create("app", {"name": name, "config": {"image": "x"}, "skip_launch": True})
        return
    machine = machines[accident.which % len(machines)]
    with suppress(Exception):
        match accident.what:
            case "drift":
                config = machine.config | {"env": {"V": "by hand", "EXTRA": "1"}}
                await engine.update("app", machine.id, {"config": config}, None)
            case "destroy":
                await engine.destroy("app", machine.id, None, force=True)
            case "duplicate":
                engine.create("app", {"name": machine.name, "config": machine.config, "skip_launch": True})
            case "unmark":
                engine.set_metadata("app", machine.id, {marks.APPLIED: None, marks.FIELDS: None})
            case "start":
                await engine.start_machine("app", machine.id, None)
            case "stop":
                await engine.stop_machine("app", machine.id, {}, None)
            case "metadata":
                engine.set_metadata("app", machine.id, {"other_tool": "kept"})
            case "dark":
                engine.faults.add("host_unreachable", machine=machine.name)


def watch_safety(world: World, *, enforced: bool) -> Callable[[Any], None]:
    """Check each request: no duplicate where names are unique, foreign machines untouched, one run on a machine."""
    known: dict[str, Any] = {}

    def check(_request: Any) -> None:
        if enforced:
            world.assert_unique_names()
        for machine in world.machines():
            if machine.name.startswith("foreign-") and machine.state not in {"created"}:
                assert known.setdefault(machine.id, machine) == machine
        assert world.runtime.most_at_once_on_a_machine <= 1

    return check


async def converge(world: World, spec: Spec) -> None:
    """Two applies without any fault, once everything has settled and ended."""
    world.transport.relent()
    await world.context.clock.sleep(400)
    for _ in range(2):
        await world.apply(spec)
        await world.context.clock.sleep(60)
    plan = await world.plan(spec)
    assert [(change.address, change.reason) for change in plan.effective] == []
    assert not plan.blocked
    world.assert_unique_names()


@given(before=drafts(), accidents=ACCIDENTS, after=drafts(), enforced=st.booleans())
@settings(max_examples=80)
def test_from_any_world_two_applies_converge(
    before: tuple[PoolDraft, ...], accidents: list[Accident], after: tuple[PoolDraft, ...], enforced: bool
) -> None:
    async def scenario() -> None:
        async with open_world(Settings(behaviour=Behaviour(enforces_names=enforced))) as world:
            await world.apply(to_spec(before))
            await world.context.clock.sleep(1)
            for accident in accidents:
                await befall(world, accident)
            await world.context.clock.sleep(1)
            world.transport.before = watch_safety(world, enforced=enforced)
            with suppress(ReconcilerError):
                await world.apply(to_spec(after))
            await converge(world, to_spec(after))

    run_virtually(scenario())


@given(
    before=drafts(),
    first=drafts(),
    second=drafts(),
    delays=st.lists(st.floats(0, 20), min_size=6, max_size=6),
    fault=st.sampled_from([None, *FAULTS]),
    at=st.integers(0, 40),
    slow=st.booleans(),
)
@settings(max_examples=80)
def test_two_applies_and_several_invokes_at_once_share_no_machine_and_lose_no_run(
    before: tuple[PoolDraft, ...],
    first: tuple[PoolDraft, ...],
    second: tuple[PoolDraft, ...],
    delays: list[float],
    fault: str | None,
    at: int,
    slow: bool,
) -> None:
    latency = replace(Latency(), prepare_s=2.0, replace_s=1.5, start_s=0.5, exit_s=0.6) if slow else Latency()

    async def scenario() -> None:
        async with open_world(Settings(latency=latency)) as world:
            await world.apply(to_spec(before))
            await world.context.clock.sleep(5)
            begun = len(world.runtime.starts)
            world.transport.before = watch_safety(world, enforced=True)
            if fault:
                world.transport.strike(fault, ahead=at)
            runs: list[Run] = []

            async def later(delay: float, work: Callable[[], Any]) -> None:
                await world.context.clock.sleep(delay)
                with suppress(ReconcilerError):
                    ended = await work()
                    if isinstance(ended, Run):
                        runs.append(ended)

            async def invoke() -> Run:
                return await world.invoke(to_spec(before), queue_timeout_s=30.0)

            has_task = bool(to_spec(before).tasks)
            await asyncio.gather(
                later(delays[0], lambda: world.apply(to_spec(first))),
                later(delays[1], lambda: world.apply(to_spec(second))),
                *(later(delay, invoke) for delay in (delays[2:] if has_task else ())),
            )
            task_starts = [
                launch for launch in world.runtime.starts[begun:] if launch.commands[0].words != ("run", "100000000")
            ]
            claimed = [run for run in runs if run.id is not None]
            assert len({run.id for run in claimed}) == len(claimed)
            assert len(claimed) <= len(task_starts)
            if not fault:
                assert len(task_starts) == len(claimed)
                # A run that began ends with its own code: no apply and no other invoke came in between.
                assert {run.outcome.exit_code for run in claimed} <= {3}
            await converge(world, to_spec(second))

    run_virtually(scenario())


@example(
    before=(PoolDraft(name="alpha", kind="tasks", version=1, counts=(1, 1)),),
    accidents=[Accident("dark", 0)],
    after=(PoolDraft(name="alpha", kind="tasks", version=1, counts=(0, 1)),),
)
@example(
    before=(PoolDraft(name="alpha", kind="tasks", version=1, counts=(1, 1)),),
    accidents=[Accident("dark", 1)],
    after=(PoolDraft(name="alpha", kind="tasks", version=1, counts=(0, 1)),),
)
@given(before=drafts(), accidents=ACCIDENTS, after=drafts())
@settings(max_examples=60)
def test_an_apply_writes_what_its_plan_names_and_nothing_else(
    before: tuple[PoolDraft, ...], accidents: list[Accident], after: tuple[PoolDraft, ...]
) -> None:
    async def scenario() -> None:
        async with open_world() as world:
            await world.apply(to_spec(before))
            await world.context.clock.sleep(10)
            for accident in accidents:
                await befall(world, accident)
            await world.context.clock.sleep(400)
            spec = to_spec(after)
            plan = await world.plan(spec, allow_destroy=1000)
            if plan.blocked:
                return
            began = len(world.transport.requests)
            report = await world.apply(spec)
            sent = world.transport.requests[began:]
            # An anchor that cannot be observed cannot be told what its pool should be, and takes over from no other.
            done = {entry.address for entry in report.entries if entry.status is Status.DONE}
            dark = {(one.slot.app, one.slot.pool) for one in plan.unreachable}
            possible = [
                one for one in plan.effective if (one.slot.app, one.slot.pool) not in dark or one.address in done
            ]
            doable = [change for change in possible if not change.deferred]
            wanted: Counter[str] = Counter()
            for change in doable:
                machine = f"/apps/app/machines/{change.machine_id}"
                match change.action:
                    case Action.CREATE:
                        wanted["POST /apps/app/machines"] += 1
                    case Action.UPDATE | Action.ADOPT:
                        wanted[f"POST {machine}"] += 1
                    case Action.DESTROY:
                        wanted[f"DELETE {machine}"] += 1
                    case Action.REPLACE:
                        wanted[f"DELETE {machine}"] += 1
                        wanted["POST /apps/app/machines"] += 1
            configs = (
                request for request in sent if re.fullmatch(r"(POST|DELETE) /apps/app/machines(/[^/]+)?", request)
            )
            assert Counter(configs) == wanted
            starts = {request for request in sent if request.endswith(("/start", "/stop"))}
            served = {change.machine_id for change in doable if change.kind is PoolKind.SERVICE}
            assert {request.split("/")[4] for request in starts} <= served

    run_virtually(scenario())
