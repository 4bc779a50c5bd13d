"""The fault matrix: an apply of all kinds of changes, and at every request of it every fault, and a kill.

The same for an invoke whose start is never seen, or refused until its time is over.

After each fault the same apply is run again without any. At no moment are there two live machines of a name; at the end
the plan is empty, foreign machines are as they were, and no run in progress was touched or begun. No other slot of a
pool is changed before its anchor, on which a run is in progress, tells what the pool should be.
"""

import asyncio
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.engine.faults.settings import Latency, Settings
from reconciler.engine.models import Machine
from reconciler.errors import ReconcilerError
from reconciler.invoke.invoke import OnBusy
from reconciler.invoke.runs import list_runs
from reconciler.model import marks
from reconciler.model.report import Report
from reconciler.model.run import OutcomeName, Run, RunState
from reconciler.model.spec import Spec
from tests.support.copies import Copies
from tests.support.faults import FAULTS
from tests.support.world import World, app_text, open_world, spec_of, task_spec

pytestmark = pytest.mark.slow

BEFORE = app_text("""
    tasks:
      kept: {command: [exit, '0']}
      changed: {command: [exit, '1'], count: 3}
      moved: {command: [exit, '2'], config: {mounts: [{volume: vol_1, path: /data}]}}
      gone: {command: [exit, '3'], count: 2}
      old: {command: [exit, '6'], config: {mounts: [{volume: vol_3, path: /data}]}}
      busy: {command: [run, '100000'], count: 2}
    services:
      web: {command: [run, '100000000'], count: 2, rollout: {min_healthy: 1s}}
""")
AFTER = app_text("""
    tasks:
      kept: {command: [exit, '0']}
      changed: {command: [exit, '4'], count: 3, metadata: {team: web}}
      moved: {command: [exit, '2'], config: {mounts: [{volume: vol_2, path: /data}]}}
      added: {command: [exit, '5'], count: {iad: 2, ams: 1}}
      new: {command: [exit, '6'], config: {mounts: [{volume: vol_3, path: /data}]}}
      busy: {command: [run, '100001'], count: 2}
    services:
      web: {command: [run, '100000000'], count: 2, env: {NEW: '1'}, rollout: {min_healthy: 1s}}
""")
MEDDLING: dict[str, dict[str, Any]] = {
    "lease stolen": {"fault": "steal_lease", "seconds": 25.0},
    "lease held for long": {"fault": "steal_lease", "seconds": 300.0},
    "lease lost": {"fault": "lose_lease"},
    "update overtaken": {"fault": "concurrent_replace", "calls": ("update",)},
    "list empty once": {"fault": "empty_list"},
    "machine destroyed by someone else": {"fault": "vanish"},
    "update reverted": {"fault": "revert_update"},
}
KILL = "killed"
BESIDE = "another apply begins"
SLOTS = 14
UPDATES = 8
LEAST_REQUESTS = 60


class Matrix:
    """One world before the apply that is struck, and what must not happen in it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.foreign: Machine | None = None
        self.running: Machine | None = None
        self.beside: Machine | None = None  # the other slot of the pool whose anchor runs

    async def set_up(self) -> None:
        world = self.world
        world.add_volumes("vol_1", "vol_2", "vol_3")
        assert (await world.apply(spec_of(BEFORE))).is_success
        await world.context.clock.sleep(1)
        theirs = {"name": "theirs", "config": {"image": "x", "metadata": {"k": "v"}}, "skip_launch": True}
        made = world.engine.create("app", theirs)
        busy = next(machine for machine in world.machines() if machine.name == "busy-iad-0")
        await world.engine.start_machine("app", busy.id, None)
        await world.context.clock.sleep(1)
        self.foreign, self.running = world.engine.store.machine(made.id), world.engine.store.machine(busy.id)
        self.beside = next(machine for machine in world.machines() if machine.name == "busy-iad-1")
        self.begun = len(self.task_starts())
        world.transport.before = lambda _request: self.check_safety()

    def task_starts(self) -> list[str]:
        """The starts of tasks so far."""
        commands = [launch.commands[0].words for launch in self.world.runtime.starts]
        return [words[1] for words in commands if words != ("run", "100000000")]

    def check_safety(self) -> None:
        world = self.world
        world.assert_unique_names()
        assert self.foreign
        assert self.running
        assert world.engine.store.machine(self.foreign.id) == self.foreign
        now = world.engine.store.machine(self.running.id)
        assert now
        # Only marks and leases may be written beside a run.
        assert (now.state, now.runs, now.instance_id) == ("started", self.running.runs, self.running.instance_id)
        assert len(self.task_starts()) == self.begun
        assert self.beside
        beside = world.engine.store.machine(self.beside.id)
        if beside and beside.instance_id != self.beside.instance_id:
            want = marks.parse_want(now.config["metadata"][marks.WANT])
            assert want.digest == beside.config["metadata"][marks.APPLIED]

    async def finish(self, spec: Spec) -> None:
        """Without faults one more apply converges; what the run deferred is all that is left."""
        world = self.world
        world.transport.relent()
        await world.context.clock.sleep(400)
        report = await world.apply(spec)
        assert report.is_success, (report.entries, report.mismatches, report.failures)
        self.check_safety()
        await world.context.clock.sleep(world.engine.settings.latency.list_lag_s)
        plan = await world.plan(spec)
        assert [change.slot.name for change in plan.effective if not change.deferred] == []
        assert [change.slot.name for change in plan.effective] == ["busy-iad-0"]
        assert len(world.machines()) == SLOTS


async def strike(world: World, fault: str, copies: Copies) -> None:
    """The apply; in each copy, with the fault at one request of it."""
    if fault == BESIDE:
        await apply_beside(world, copies)
    elif fault == KILL:
        await copies.kill(world, world.apply(spec_of(AFTER)))
    else:
        with suppress(ReconcilerError), struck(world, fault, copies):
            await world.apply(spec_of(AFTER))


def struck(world: World, fault: str, copies: Copies) -> AbstractContextManager[None]:
    """Lets the fault strike: what belongs to the engine from here on once, the others at each request of the block."""
    if fault in FAULTS:
        return copies.strike(world, fault)
    faults, details = world.engine.faults, dict(MEDDLING[fault])
    if fault == "update reverted":
        for after in range(UPDATES):
            if copies.part(f"at update {after}"):
                faults.add(**details, after=after)
                break
        return nullcontext()
    if fault == "machine destroyed by someone else":
        details["machine"] = "[!bt]*"  # not the one that runs, nor theirs
    return copies.at_each_request(world, lambda ahead: faults.add(**details, request=faults.requests + ahead))


async def apply_beside(world: World, copies: Copies) -> None:
    """Another apply of the same begins at each request. Both end well, whichever was first at a machine."""
    others: list[asyncio.Task[Report]] = []

    def begin(_ahead: int) -> None:
        others.append(asyncio.create_task(world.apply(spec_of(AFTER))))

    with copies.at_each_request(world, begin):
        reports = [await world.apply(spec_of(AFTER)), *await asyncio.gather(*others)]
    assert len(reports) == 1 + copies.is_copy
    for report in reports:
        assert report.is_success, (report.entries, report.mismatches, report.failures)


@pytest.mark.parametrize("fault", [*FAULTS, *MEDDLING, BESIDE, KILL])
async def test_whatever_happens_at_any_request_nothing_is_doubled_orphaned_or_killed(world: World, fault: str) -> None:
    matrix = Matrix(world)
    await matrix.set_up()
    with Copies() as copies:
        await strike(world, fault, copies)
        matrix.check_safety()
        await matrix.finish(spec_of(AFTER))
    assert copies.made >= (UPDATES if fault == "update reverted" else LEAST_REQUESTS)


@pytest.mark.parametrize(
    ("call", "fault", "times", "calls"),
    [
        ("update", "concurrent_replace", 1, 6),
        ("update", "concurrent_replace", 3, 6),
        ("update", "stale_metadata", 1, 6),
        ("delete", "concurrent_replace", 1, 4),
        ("lease", "steal_lease", 1, 11),
    ],
)
async def test_whichever_change_is_overtaken_the_same_apply_makes_it(
    world: World, call: str, fault: str, times: int, calls: int
) -> None:
    """D4: the machine settles, is looked at under a new lease, and the change is judged again."""
    matrix = Matrix(world)
    await matrix.set_up()
    with Copies() as copies:
        after = next((number for number in range(calls + 1) if copies.part(f"after {number} calls")), calls)
        seconds = {"seconds": 20.0} if fault == "steal_lease" else {}
        rule = world.engine.faults.add(fault, calls=(call,), after=after, times=times, **seconds)
        report = await world.apply(spec_of(AFTER))
        assert report.is_success, (report.entries, report.mismatches, report.failures)
        matrix.check_safety()
        await matrix.finish(spec_of(AFTER))
        assert (rule.struck > 0) == (after < calls)


def test_the_matrix_is_large_enough() -> None:
    assert (len(FAULTS) + len(MEDDLING) + 1) * LEAST_REQUESTS >= 1000


async def test_with_a_list_that_lags_the_same_holds() -> None:
    async def scenario(lag_s: float) -> None:
        async with open_world(Settings(latency=replace(Latency(), list_lag_s=lag_s))) as world:
            matrix = Matrix(world)
            await matrix.set_up()
            await world.context.clock.sleep(30)
            with suppress(ReconcilerError):
                await world.apply(spec_of(AFTER))
            await matrix.finish(spec_of(AFTER))

    for lag_s in (0.1, 0.5, 2.0, 10.0, 60.0):
        await scenario(lag_s)


FIRST = task_spec(count="2")
PROPAGATING_S = 3.0
FIRST_REQUESTS = 12


@pytest.mark.world(Settings(latency=replace(Latency(), propagate_s=PROPAGATING_S)))
@pytest.mark.parametrize("fault", [*FAULTS, KILL])
async def test_whatever_happens_at_any_request_of_a_first_apply_nothing_is_doubled(world: World, fault: str) -> None:
    """The app that it creates is not known everywhere for some seconds."""
    world.transport.before = lambda _request: world.assert_unique_names()
    with Copies() as copies:
        if fault == KILL:
            await copies.kill(world, world.apply(FIRST))
        else:
            with suppress(ReconcilerError), copies.strike(world, fault):
                await world.apply(FIRST)
        world.transport.relent()
        await world.context.clock.sleep(400)
        report = await world.apply(FIRST)
        assert report.is_success, (report.entries, report.mismatches, report.failures)
        assert not (await world.plan(FIRST)).has_changes
        assert [machine.name for machine in world.machines()] == ["work-iad-0", "work-iad-1"]
        assert world.runtime.starts == []
    assert copies.made >= FIRST_REQUESTS


INVOKED = task_spec("[run, '5', exit, '3']", count="1")
START_TIMEOUT_S = 5.0
LETTING_GO_S = 10.0  # what the way out takes at most: the record and the lease
CLAIM_REQUESTS = 9  # then it only looks again, or tries again
SILENT = ("two minutes of silence", "done two minutes later")  # what is taken back then may come to stay
CLAIM_FAULTS = [*FAULTS, "lease stolen", "lease lost", KILL]


async def invoke_struck(world: World, *, is_refused: bool, fault: str, copies: Copies) -> Run | None:
    """The invoke whose start is refused, or never seen; None where the fault was its end."""
    if is_refused:
        world.engine.faults.add("not_startable", calls=("start",), times=-1)
    else:
        world.transport.hidden = {"start"}
    invoking = world.invoke(INVOKED, start_timeout_s=START_TIMEOUT_S, on_busy=OnBusy.FAIL, key="K")
    if fault == KILL:
        await copies.kill(world, invoking)
        return None
    with suppress(ReconcilerError), struck(world, fault, copies):
        return await invoking
    return None


@pytest.mark.parametrize("is_refused", [True, False], ids=["start refused", "start never seen"])
@pytest.mark.parametrize("fault", CLAIM_FAULTS)
async def test_an_invoke_that_gets_no_start_ends_in_time_and_its_key_runs_once(
    world: World, fault: str, is_refused: bool
) -> None:
    """A3 and C5: the lease is free, what never began is no run, and what may have begun is found again."""
    await world.apply(INVOKED)
    await world.context.clock.sleep(60)
    with Copies(most=CLAIM_REQUESTS) as copies:
        began = world.context.clock.monotonic()
        run = await invoke_struck(world, is_refused=is_refused, fault=fault, copies=copies)
        assert world.context.clock.monotonic() - began <= START_TIMEOUT_S + LETTING_GO_S + 60  # a list takes its time
        if run and run.outcome.name in {OutcomeName.BUSY, OutcomeName.NEVER_STARTED}:
            assert not world.runtime.starts, "what ran is never called not started"
            begun = await list_runs(world.context, "app", stack="stack")
            assert fault in SILENT or not begun, "what never began is no run"
        elif run:
            assert run.outcome.exit_code in {3, 122}, run
        world.transport.relent()
        world.transport.hidden = set()
        await world.context.clock.sleep(160)  # a request two minutes late, and the lease that it takes
        now = world.context.clock.now().timestamp()
        assert not [one.name for one in world.machines() if one.lease and one.lease.expires_at > now]
        told = [one.info for one in await list_runs(world.context, "app", stack="stack")]
        assert sum(info.state is RunState.ENDED for info in told) == len(world.runtime.starts)
        if run and run.id:
            assert run.id in {info.id for info in told}
        again = await world.invoke(INVOKED, key="K")
        # A key that is written two minutes late has no record any more: then nothing runs, rather than twice.
        assert again.outcome.exit_code == 3 or (fault in SILENT and again.outcome.exit_code == 122), again
        assert len(world.runtime.starts) == (again.outcome.exit_code == 3)
    assert copies.made == CLAIM_REQUESTS
