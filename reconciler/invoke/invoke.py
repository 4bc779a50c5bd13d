"""One invocation of a task: queue for a free machine, claim it, follow the run to its end. A failed run is a value."""

import asyncio
import enum
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from reconciler.errors import LeaseLostError
from reconciler.invoke import outcome as outcomes
from reconciler.invoke.claim import Claim, Claimant, Refusal, candidates, claim, pool_machines
from reconciler.invoke.follow import Ending, follow
from reconciler.invoke.keyed import claim_keyed, hash_of
from reconciler.invoke.logs import LogReader, TakeLine
from reconciler.invoke.runs import FoundRun, end_overdue, wait_run
from reconciler.model import marks
from reconciler.model.machine import Machine
from reconciler.model.run import Outcome, Run
from reconciler.model.spec import Pool, Slot
from reconciler.slots.actor import Actor

T = TypeVar("T")

_CANDIDATES_PER_ROUND: Final = 2
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 2.0
_LOG_DELAY_S: Final = 3.0
_BROKEN_ROUNDS: Final = 3


class OnBusy(enum.Enum):
    """What an invoke does while every machine of its task is busy."""

    WAIT = "wait"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvokeOptions:
    """How one invoke behaves; durations in seconds. `timeout_s` None takes the task's own.

    `take_line` gets each line of the task's output, or None for no logs; `log_delay_s` is how late lines may come after
    the exit. `is_waiting` False returns as soon as the run has started. Of all invokes with one `key` the first one
    starts the run, and the others attach to it.
    """

    on_busy: OnBusy = OnBusy.WAIT
    queue_timeout_s: float = 600.0
    start_timeout_s: float = 60.0
    timeout_s: float | None = None
    is_waiting: bool = True
    key: str | None = None
    take_line: TakeLine | None = None
    log_delay_s: float = _LOG_DELAY_S


async def invoke(
    actor: Actor, pool: Pool, *, stack: str, options: InvokeOptions, stop: asyncio.Event | None = None
) -> Run:
    """The run, ended (or only started, with `is_waiting` False). Raises ApiError where the API itself fails.

    Once `stop` is set: before the start nothing runs and the outcome is INTERRUPTED; after it the run goes on without
    us and the outcome is DETACHED.
    """
    timeout_s = options.timeout_s or pool.timeout_s
    stop = stop or asyncio.Event()
    claimant = Claimant(
        actor=actor,
        stack=stack,
        pool=pool,
        start_timeout_s=options.start_timeout_s,
        timeout_s=timeout_s,
        key=hash_of(stack, pool.app, pool.name, options.key) if options.key else "",
        stop=stop,
    )
    claimed = await _queue(claimant, options)
    if isinstance(claimed, Outcome):
        return _run(pool, claimed)
    if isinstance(claimed, FoundRun):
        return await _attach(actor, pool, claimed, options, stop)
    actor.emit(f"{claimed.machine.name}: started")
    if not options.is_waiting:
        return _run(pool, outcomes.detached("started; not waited for"), claimed)
    logs = LogReader(actor, claimed, options.take_line, drain_s=options.log_delay_s) if options.take_line else None
    ending = await _until_stopped(follow(actor, claimed, timeout_s=timeout_s, logs=logs), stop)
    if ending is None:
        return _run(pool, outcomes.detached("detached; the run goes on"), claimed)
    return _run(pool, ending.outcome, claimed, ending)


async def _attach(actor: Actor, pool: Pool, found: FoundRun, options: InvokeOptions, stop: asyncio.Event) -> Run:
    """The run that someone with the same key started: its output and its end."""
    actor.emit(f"{found.info.id}: started before with this key; attaching")
    info = found.info
    if options.is_waiting:
        waiting = wait_run(actor, found, take_line=options.take_line, log_delay_s=options.log_delay_s)
        info = await _until_stopped(waiting, stop) or info
    outcome = info.outcome or outcomes.detached("the run goes on")
    number = info.slot.rpartition("-")[2]
    return Run(
        task=pool.name,
        app=pool.app,
        outcome=outcome,
        id=info.id,
        slot=Slot(app=pool.app, pool=pool.name, region=found.machine.region, number=int(number)),
        machine_id=info.machine_id,
        started_at=info.started_at,
        ended_at=info.ended_at,
    )


async def _queue(claimant: Claimant, options: InvokeOptions) -> Claim | FoundRun | Outcome:
    """Tries free machines, round after round, until one is ours or the queue's time is over."""
    clock = claimant.actor.clock
    deadline = clock.monotonic() + (options.queue_timeout_s if options.on_busy is OnBusy.WAIT else 0)
    pause_s = _FIRST_PAUSE_S
    broken_rounds = 0
    told = False
    while not claimant.stop.is_set():
        machines = await claimant.actor.client.list_machines(claimant.pool.app)
        ours = pool_machines(machines or (), claimant.stack, claimant.pool.name)
        if not ours:
            return outcomes.refused(
                f"task {claimant.pool.name} has no machines in app {claimant.pool.app}", remedy="run `reconciler apply`"
            )
        tried = await (_try_keyed(claimant, ours) if claimant.key else _try_round(claimant, ours))
        if not isinstance(tried, list):
            return tried
        if tried and all(refusal.needs_apply for refusal in tried) and len(tried) == len(ours):
            return outcomes.refused(
                "no machine has the applied config, and this spec is not the one applied",
                remedy="run `reconciler apply` first",
            )
        if final := next((refusal for refusal in tried if refusal.is_final), None):
            return outcomes.never_started(final.why)
        broken = [refusal for refusal in tried if refusal.is_broken]
        broken_rounds = broken_rounds + 1 if broken and len(broken) == len(tried) else 0
        if broken_rounds >= _BROKEN_ROUNDS:
            return outcomes.never_started(broken[-1].why)
        why = _why_busy(claimant, ours, tried)
        if await end_overdue(claimant.actor, ours):
            continue
        remaining_s = deadline - clock.monotonic()
        if remaining_s <= 0:
            return outcomes.skipped(why) if options.on_busy is OnBusy.SKIP else outcomes.busy(why)
        if not told:
            claimant.actor.emit(f"waiting for a free machine of {claimant.pool.name}: {why}")
            told = True
        await _until_stopped(clock.sleep(min(remaining_s, pause_s * claimant.rng.uniform(0.5, 1.0))), claimant.stop)
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
    return outcomes.interrupted()


async def _try_keyed(claimant: Claimant, ours: Sequence[Machine]) -> Claim | FoundRun | Outcome | list[Refusal]:
    try:
        tried = await claim_keyed(
            claimant, ours, want=_want(ours), digest=hash_of(claimant.pool.app, claimant.pool.name)
        )
    except LeaseLostError as error:
        tried = Refusal(why=error.message)
    return [tried] if isinstance(tried, Refusal) else tried


def _want(ours: Sequence[Machine]) -> str | None:
    return next((machine.metadata[marks.WANT] for machine in ours if marks.WANT in machine.metadata), None)


async def _try_round(claimant: Claimant, ours: Sequence[Machine]) -> Claim | list[Refusal]:
    """At most two machines; only the last one is waited for while it is still being prepared."""
    want = _want(ours)
    free = candidates(ours, claimant)
    refusals: list[Refusal] = []
    for machine in free[:_CANDIDATES_PER_ROUND]:
        is_last = machine is free[:_CANDIDATES_PER_ROUND][-1]
        try:
            claimed = await claim(claimant, machine, want=want, may_settle=is_last)
        except LeaseLostError as error:
            claimed = Refusal(why=error.message)
        if isinstance(claimed, Claim):
            return claimed
        refusals.append(claimed)
    return refusals


def _why_busy(claimant: Claimant, ours: Sequence[Machine], refusals: Sequence[Refusal]) -> str:
    busy = [machine for machine in ours if not machine.state.is_resting]
    if busy:
        names = ", ".join(f"{machine.name} ({machine.state.value})" for machine in busy[:5])
        more = f" and {len(busy) - 5} more" if len(busy) > 5 else ""
        return f"{len(busy)} of {len(ours)} are busy: {names}{more}"
    return refusals[-1].why if refusals else "none is at rest"


async def _until_stopped(work: Coroutine[Any, Any, T], stop: asyncio.Event) -> T | None:
    """What the work returns; None where `stop` was set first, with the work cancelled and its leases released."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        return None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


def _run(pool: Pool, outcome: Outcome, claimed: Claim | None = None, ending: Ending | None = None) -> Run:
    if claimed is None:
        return Run(task=pool.name, app=pool.app, outcome=outcome)
    machine = claimed.machine
    number = machine.name.rpartition("-")[2]
    slot = Slot(app=pool.app, pool=pool.name, region=machine.region, number=int(number) if number.isdigit() else 0)
    ended = ending.exit_event if ending else None
    return Run(
        task=pool.name,
        app=pool.app,
        outcome=outcome,
        id=f"{machine.name}/{claimed.run_ulid}",
        slot=slot,
        machine_id=machine.id,
        started_at=claimed.start.at,
        ended_at=ended.at if ended else None,
    )
