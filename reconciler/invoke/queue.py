"""Queue for a machine: try the free ones, wait for a busy one if there is time.

It LISTs once. Then it WAITs on one busy machine after the other and reads only that one, so that any number of waiters
in any number of processes cost few calls. Within a process waiters are served in order. Between processes they are
served roughly by age: the longer one has waited, the shorter its pause before a try.
"""

import asyncio
import enum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from reconciler.errors import ApiError
from reconciler.invoke.absence import Absence
from reconciler.invoke.cancellation import in_turn, until_stopped
from reconciler.invoke.claim_request import Claim, Claimant, Unconfirmed, turned_to
from reconciler.invoke.outcome import busy, interrupted, skipped
from reconciler.invoke.start_deadline import StartDeadline
from reconciler.invoke.tries import Tries, try_free
from reconciler.model.machine import MachineState
from reconciler.model.run import Outcome
from reconciler.slots.lease import CALL_TIMEOUT_S
from reconciler.slots.wait import read_machine

if TYPE_CHECKING:
    from reconciler.invoke.runs import FoundRun

_SLICE_S: Final = 15.0
_HELD_SLICE_S: Final = 3.0  # an apply holds a lease only for a moment
_LONGEST_PAUSE_S: Final = 2.0
_SHORTEST_PAUSE_S: Final = 0.05
_CALLS_TO_SPREAD_OVER: Final = 10
_CONTENDED_PAUSE_S: Final = (0.5, 1.5)
_FRESH_S: Final = 1.0
_NO_TIME_S: Final = 0.001  # a rounding error: a pause this short may not move the clock at all
_RELIST_S: Final = 300.0  # to find machines that a later apply created
_END_STATES: Final = (MachineState.STOPPED, MachineState.FAILED, MachineState.DESTROYED)


class OnBusy(enum.StrEnum):
    """What an invoke does if all machines of its task are busy."""

    WAIT = "wait"
    FAIL = "fail"
    SKIP = "skip"


class _Queue(Struct, kw_only=True):
    """One claimant's wait in the queue."""

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
        """Return the seconds for one round.

        The first may take a call's time even without a queue.
        """
        return self.remaining_s or (0.0 if self.has_looked else CALL_TIMEOUT_S)


async def queue(
    claimant: Claimant, *, on_busy: OnBusy, queue_timeout_s: float, turn: asyncio.Semaphore | None = None
) -> "Claim | FoundRun | Unconfirmed | Outcome":
    """Wait for a machine and start the run on it. Raises ApiError.

    Return the claim, the run that the key has already, a run that may have started, or the outcome if nothing was
    started. The claimants of one pool in one process share `turn`: they wait in the order in which they came, and it
    limits how many of them try at once.
    """
    known, now = claimant.known, claimant.context.clock.monotonic()
    list_s = listing_time_s(on_busy, queue_timeout_s)
    is_new = not any(machine.is_observable for machine in known.machines)
    if is_new:
        await until_stopped(known.list_first(claimant.context), claimant.stop, timeout_s=list_s)
    if claimant.stop.is_set():
        return interrupted()
    if not known.is_listed:
        return unlisted(claimant.pool.name, list_s)
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


def listing_time_s(on_busy: OnBusy, queue_timeout_s: float) -> float | None:
    """Return the seconds for one LIST with all its repeats; None is no limit.

    It may take a call's time at least.
    """
    return max(queue_timeout_s, CALL_TIMEOUT_S) if on_busy is OnBusy.WAIT else None


def unlisted(task: str, time_s: float | None) -> Outcome:
    """Return the outcome if the task's machines could not be listed in that time."""
    why = f"the machines of {task} could not be listed within {time_s:g} s"
    return busy(why, remedy="the platform did not answer in time: try again, or raise --queue-timeout")


async def _wait(waiting: _Queue) -> "Claim | FoundRun | Unconfirmed | Outcome":
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
    """Return the outcome after the queue timeout.

    Raises ApiError if only an error of the API, and no busy machine, kept it from a machine.
    """
    why = _why_busy(waiting)
    error = next((one.error for one in waiting.tries.refused.values() if one.error), None)
    if error and not waiting.claimant.known.busy:
        raise error
    if waiting.on_busy is OnBusy.SKIP:
        return skipped(why)
    known = waiting.claimant.known
    if known.busy and all(known.is_held(machine) for machine in known.busy):
        return busy(why, remedy="`reconciler unlock` shows who holds the lease; or raise --queue-timeout")
    return busy(why)


async def _wait_for_next(waiting: _Queue) -> bool:
    """Wait until another try makes sense. Return False after the queue timeout.

    Raises ApiError if the target gives no usable answer.
    """
    claimant, known = waiting.claimant, waiting.claimant.known
    errors = [refusal.error for refusal in waiting.tries.refused.values() if refusal.error]
    if errors and len(errors) == len(waiting.tries.refused) and not known.busy:
        waiting.tries.refused.clear()  # no machine was refused: the target gave no answer
        raise errors[-1]
    from reconciler.invoke.attach import end_overdue  # only where no machine is free

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
    """Wait for one busy machine, another one each time, then read it.

    Pause if none is busy.
    """
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
            version=machine.version,
            from_event_id=machine.newest_event,  # assumption A3
            timeout_s=min(_HELD_SLICE_S if known.is_held(machine) else _SLICE_S, waiting.remaining_s),
        )
        if not reached and context.clock.monotonic() - began < 1.0:
            await context.clock.sleep(1.0)  # no busy loop, should WAIT return at once
    await context.clock.sleep(_pause_s(waiting, is_contended=is_contended))
    if machine and not machine.state.is_resting:
        known.see(await read_machine(context, machine))  # after the pause, as another claimant may have taken it
    if context.clock.monotonic() - waiting.listed_at >= _RELIST_S:
        await known.refresh(context)
        waiting.listed_at = context.clock.monotonic()
    # If none is busy, nobody is changing one: machines that need an apply are not tried again until all were tried.
    kept = {} if known.busy else {key: refusal for key, refusal in waiting.tries.refused.items() if refusal.needs_apply}
    waiting.tries.refused = kept


def _pause_s(waiting: _Queue, *, is_contended: bool) -> float:
    """Return a random pause, so that not all waiters try a free machine at once."""
    rng = waiting.claimant.rng
    if is_contended:
        return min(waiting.remaining_s, rng.uniform(*_CONTENDED_PAUSE_S))
    waited = waiting.age_s / max(waiting.queue_timeout_s, 1.0)
    pause_s = pause_before_try(waiting.claimant.known.round_trip_s, waited=waited, chance=rng.random())
    return min(waiting.remaining_s, waiting.tries.start.left_s, pause_s)


def pause_before_try(round_trip_s: float, *, waited: float, chance: float) -> float:
    """Return the seconds between seeing a free machine and trying it.

    They are spread over the time of ten calls, two seconds at most, and less for a claimant that has waited long.
    `waited` is the share of its queue timeout that has passed, `chance` is random in [0, 1).
    """
    longest_s = min(_LONGEST_PAUSE_S, _CALLS_TO_SPREAD_OVER * round_trip_s)
    return max(_SHORTEST_PAUSE_S, chance * longest_s * max(0.0, 1.0 - waited))


def _why_busy(waiting: _Queue) -> str:
    refusals = (refusal.why for refusal in waiting.tries.refused.values())
    return waiting.claimant.known.busy_words or next(refusals, "none is at rest")
