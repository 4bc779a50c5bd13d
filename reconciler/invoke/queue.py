"""From the wish for a machine to a machine that runs: tries free ones, and waits for busy ones while there is time.

Lists once. Then it waits on one busy machine after the other, parked in the server, and looks only at that one: any
number of waiters in any number of processes cost a call now and then. Within a process they come in turn; between
processes roughly by age, since the pause before a try is shorter the longer one has waited.
"""

import asyncio
import enum
from dataclasses import dataclass
from typing import Final

from reconciler.errors import ApiError
from reconciler.invoke.absence import Absence
from reconciler.invoke.attach import end_overdue
from reconciler.invoke.cancellation import in_turn, until_stopped
from reconciler.invoke.claim_request import Claim, Claimant, Unconfirmed, turned_to
from reconciler.invoke.outcome import busy, interrupted, skipped
from reconciler.invoke.runs import FoundRun
from reconciler.invoke.start_deadline import StartDeadline
from reconciler.invoke.tries import Tries, try_free
from reconciler.model.machine import MachineState
from reconciler.model.run import Outcome
from reconciler.slots.lease import CALL_TIMEOUT_S
from reconciler.slots.wait import read_machine

_SLICE_S: Final = 15.0
_HELD_SLICE_S: Final = 3.0  # an apply has it for a moment only
_LONGEST_PAUSE_S: Final = 2.0
_SHORTEST_PAUSE_S: Final = 0.05
_CALLS_TO_SPREAD_OVER: Final = 10
_CONTENDED_PAUSE_S: Final = (0.5, 1.5)
_FRESH_S: Final = 1.0
_NO_TIME_S: Final = 0.001  # what floats leave of a deadline: a pause so short may not move the clock at all
_RELIST_S: Final = 300.0  # machines that a later apply made are found then
_END_STATES: Final = (MachineState.STOPPED, MachineState.FAILED, MachineState.DESTROYED)


class OnBusy(enum.Enum):
    """What an invoke does while every machine of its task is busy."""

    WAIT = "wait"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(slots=True, kw_only=True)
class _Queue:
    """One claimant's stay in the queue."""

    claimant: Claimant
    on_busy: OnBusy
    queue_timeout_s: float
    tries: Tries
    began: float
    listed_at: float
    rounds: int = 0
    is_told: bool = False
    has_looked: bool = False

    @property
    def age_s(self) -> float:
        return self.claimant.context.clock.monotonic() - self.began

    @property
    def remaining_s(self) -> float:
        left_s = (self.queue_timeout_s if self.on_busy is OnBusy.WAIT else 0.0) - self.age_s
        return left_s if left_s >= _NO_TIME_S else 0.0

    @property
    def round_s(self) -> float:
        """How long a round may take; the first has a call's time also where there is no queue."""
        return self.remaining_s or (0.0 if self.has_looked else CALL_TIMEOUT_S)


async def queue(
    claimant: Claimant, *, on_busy: OnBusy, queue_timeout_s: float, turn: asyncio.Semaphore | None = None
) -> Claim | FoundRun | Unconfirmed | Outcome:
    """A machine that runs for us, a run that was there already, or how it ended without one. Raises ApiError.

    `turn` is shared by the claimants of one pool in one process: they wait in the order in which they came, and only as
    many of them as it lets through ask for machines.
    """
    known, now = claimant.known, claimant.context.clock.monotonic()
    list_s = max(queue_timeout_s, CALL_TIMEOUT_S) if on_busy is OnBusy.WAIT else None
    is_new = not any(machine.is_observable for machine in known.machines)
    if is_new:
        await until_stopped(known.list_first(claimant.context), claimant.stop, timeout_s=list_s)
    if claimant.stop.is_set():
        return interrupted()
    if not known.is_listed:
        why = f"the machines of {claimant.pool.name} could not be listed within {list_s:g} s"
        return busy(why, remedy="the platform did not answer in time: try again, or raise --queue-timeout")
    waiting = _Queue(
        claimant=claimant,
        on_busy=on_busy,
        queue_timeout_s=queue_timeout_s,
        tries=Tries(claimant=claimant, start=StartDeadline(claimant=claimant)),
        began=now,
        listed_at=float("-inf"),
    )
    has_others = turn is not None and turn.locked() and on_busy is OnBusy.WAIT
    ended = None if has_others else await try_free(waiting.tries, has_waited=waiting.rounds > 0)
    if ended is None and not is_new and not has_others:
        await until_stopped(known.refresh(claimant.context, older_than_s=_FRESH_S), claimant.stop, timeout_s=list_s)
        waiting.tries.refused.clear()
        ended = await try_free(waiting.tries, has_waited=waiting.rounds > 0)
    if ended is not None:
        return ended
    waiting.listed_at = claimant.context.clock.monotonic()
    async with in_turn(turn, claimant.stop, timeout_s=waiting.remaining_s):
        return await _wait(waiting)


async def _wait(waiting: _Queue) -> Claim | FoundRun | Unconfirmed | Outcome:
    claimant = waiting.claimant
    what = f"cannot look at the machines of {claimant.pool.name}"
    absence = Absence(claimant.context, what, lost_after_s=claimant.lost_after_s)
    while not claimant.stop.is_set():
        try:
            round_s, waiting.has_looked = waiting.round_s, True
            if not round_s:
                return _ended_busy(waiting)
            looked = await until_stopped(_wait_for_next(waiting), claimant.stop, timeout_s=round_s)
            if looked is False:
                return _ended_busy(waiting)
            if looked:
                absence.end()
        except ApiError as error:
            if not error.is_passing or waiting.remaining_s <= 0:
                raise
            await until_stopped(absence.endure(error, at_most_s=waiting.remaining_s), claimant.stop)
        if claimant.stop.is_set():
            break
        ended = await try_free(waiting.tries, has_waited=waiting.rounds > 0)
        if ended is not None:
            return ended
    return interrupted()


def _ended_busy(waiting: _Queue) -> Outcome:
    """How it ends once its time in the queue is over. Raises ApiError where nothing but that kept it from a machine."""
    why = _why_busy(waiting)
    error = next((one.error for one in waiting.tries.refused.values() if one.error), None)
    if error and not waiting.claimant.known.busy:
        raise error
    if waiting.on_busy is OnBusy.SKIP:
        return skipped(why)
    known = waiting.claimant.known
    if all(known.is_held(machine) for machine in known.busy) and any(
        one.is_held for one in waiting.tries.refused.values()
    ):
        return busy(why, remedy="`reconciler unlock` shows who holds the lease; or raise --queue-timeout")
    return busy(why)


async def _wait_for_next(waiting: _Queue) -> bool:
    """Waits until another try is worth it; False where the time is over. Raises ApiError where nothing is answered."""
    claimant, known = waiting.claimant, waiting.claimant.known
    errors = [refusal.error for refusal in waiting.tries.refused.values() if refusal.error]
    if errors and len(errors) == len(waiting.tries.refused) and not known.busy:
        waiting.tries.refused.clear()  # no machine was refused: the target is away
        raise errors[-1]
    if await end_overdue(claimant.context, known.machines):
        await known.refresh(claimant.context)
    elif waiting.remaining_s <= 0:
        return False
    else:
        if not waiting.is_told:
            claimant.context.emit(f"waiting for a free machine of {claimant.pool.name}: {_why_busy(waiting)}")
            waiting.is_told = True
        await _wait_for_one(waiting)
    return True


async def _wait_for_one(waiting: _Queue) -> None:
    """Waits for one machine that is busy, another one each time, or a moment where none is; then looks at it."""
    claimant, known = waiting.claimant, waiting.claimant.known
    context = claimant.context
    waiting.rounds += 1
    is_contended = bool(claimant.key) and any(refusal.is_held for refusal in waiting.tries.refused.values())
    machine = turned_to(known.busy or known.machines, claimant, waiting.rounds)
    if machine and not machine.state.is_resting and not is_contended:
        began = context.clock.monotonic()
        reached = await context.client.wait_machine(
            machine.app,
            machine.id,
            states=_END_STATES,
            version=machine.instance_id,
            from_event_id=machine.newest_event,  # assumption A3
            timeout_s=min(_HELD_SLICE_S if known.is_held(machine) else _SLICE_S, waiting.remaining_s),
        )
        if not reached and context.clock.monotonic() - began < 1.0:
            await context.clock.sleep(1.0)  # a server whose WAIT says nothing must not be asked in a hot loop
    await context.clock.sleep(_pause_s(waiting, is_contended=is_contended))
    if machine and not machine.state.is_resting:
        known.see(await read_machine(context, machine))  # after the pause: by then another one may have taken it
    if context.clock.monotonic() - waiting.listed_at >= _RELIST_S:
        await known.refresh(context)
        waiting.listed_at = context.clock.monotonic()
    # Where none is busy nobody is about to change one: what needs an apply is set aside until all have been seen.
    kept = {} if known.busy else {key: refusal for key, refusal in waiting.tries.refused.items() if refusal.needs_apply}
    waiting.tries.refused = kept


def _pause_s(waiting: _Queue, *, is_contended: bool) -> float:
    """Spreads those who see a machine come free: over the time that a few calls take, and less for who waited long."""
    rng = waiting.claimant.rng
    if is_contended:
        return min(waiting.remaining_s, rng.uniform(*_CONTENDED_PAUSE_S))
    share_left = max(0.0, 1.0 - waiting.age_s / max(waiting.queue_timeout_s, 1.0))
    longest_s = min(_LONGEST_PAUSE_S, _CALLS_TO_SPREAD_OVER * waiting.claimant.known.round_trip_s)
    return min(
        waiting.remaining_s, waiting.tries.start.left_s, max(_SHORTEST_PAUSE_S, rng.random() * longest_s * share_left)
    )


def _why_busy(waiting: _Queue) -> str:
    refusals = (refusal.why for refusal in waiting.tries.refused.values())
    return waiting.claimant.known.busy_words or next(refusals, "none is at rest")
