"""Follow a run to its end: wait, stream its logs, stop it at its timeout."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from reconciler.errors import ApiError, ApiErrorKind, LeaseLostError
from reconciler.invoke.absence import LOST_AFTER_S, Absence, do_patiently
from reconciler.invoke.claim_request import Claim
from reconciler.invoke.logs import DRAIN_LIMIT_S, RunLogs
from reconciler.invoke.outcome import lost, lost_from_sight, newer_than, outcome_of, replaced
from reconciler.model import marks
from reconciler.model.machine import Event, HostStatus, Machine, MachineState
from reconciler.model.run import Outcome
from reconciler.slots.context import Context
from reconciler.slots.lease import CLAIM_TTL_S, hold_lease
from reconciler.slots.run_records import newest_record
from reconciler.slots.run_starts import RunSpan, final_exit, is_newer
from reconciler.slots.wait import read_machine, stop_limit_s

_SLICE_S: Final = 55.0
_EXIT_EVENT_PATIENCE_S: Final = 5.0
_POLL_S: Final = 0.2
_EVENTS: Final = 50  # the platform retains no more
_END_STATES: Final = (MachineState.STOPPED, MachineState.FAILED, MachineState.DESTROYED)


class Ending(Struct, frozen=True, kw_only=True):
    """How the run ended, and its exit event, if there is one.

    If not `is_over`, it is unknown whether the run has ended. `attempts` counts its starts, including restarts by the
    platform; None if that is not known.
    """

    outcome: Outcome
    exit_event: Event | None = None
    is_over: bool = True
    attempts: int | None = None


async def follow(
    context: Context,
    claim: Claim,
    *,
    timeout_s: float | None,
    logs: RunLogs | None,
    lost_after_s: float = LOST_AFTER_S,
    was_stopped: bool = False,
) -> Ending:
    """Return the run's end.

    Errors of the platform are retried; the run goes on meanwhile. Give up after `lost_after_s` without a usable answer,
    or at the run's timeout if that comes first. Give up on a run that was told to stop and still runs a minute after
    its kill was due.
    """
    streaming = asyncio.create_task(logs.stream()) if logs else None
    try:
        ending = await _end_of(context, claim, timeout_s=timeout_s, lost_after_s=lost_after_s, was_stopped=was_stopped)
    finally:
        if streaming:
            streaming.cancel()
            with suppress(asyncio.CancelledError):
                await streaming
    if not ending.is_over:
        return ending
    if logs:
        await logs.drain(ended_at=ending.exit_event.at if ending.exit_event else None, limit_s=DRAIN_LIMIT_S)
    if marks.override_owner(claim.machine.metadata.get(marks.OVERRIDE, "")) == claim.run_ulid:
        from reconciler.slots.override import restore_if_idle

        why = await restore_if_idle(context, claim.machine, ulid=claim.run_ulid, declared=claim.declared)
        if why:
            context.emit(why)
    return ending


async def _end_of(
    context: Context, claim: Claim, *, timeout_s: float | None, lost_after_s: float, was_stopped: bool
) -> Ending:
    if ending := _shown_end(claim):
        return ending  # a short task ends before the start is confirmed: then nothing is waited for
    absence = Absence(context, f"{claim.machine.name}: cannot look at the run", lost_after_s=lost_after_s)
    waiting = asyncio.create_task(_wait_for_exit(context, claim, absence))
    timer = asyncio.create_task(context.clock.sleep(timeout_s)) if timeout_s else None
    try:
        if was_stopped:
            return await _end_after_stop(context, claim, waiting, absence)
        pending = {waiting, timer} if timer else {waiting}
        await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        context.emit(f"{claim.machine.name}: its timeout of {timeout_s:g} s has passed; stopping the run")
        return await _end_by_timeout(context, claim, waiting, absence, lost_after_s=lost_after_s)
    except ApiError as error:
        return _lost_from_sight(context, claim, f"{absence.lasted}: {error.message}")
    finally:
        for task in (waiting, timer):
            if task:
                task.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def _end_by_timeout(
    context: Context, claim: Claim, waiting: asyncio.Task[Ending], absence: Absence, *, lost_after_s: float
) -> Ending:
    """Stop the run. If that fails it goes on, until a later `wait` stops it."""
    what = f"{claim.machine.name}: cannot stop the run"
    stopping = asyncio.create_task(
        do_patiently(context, what, lambda: stop_run(context, claim), lost_after_s=lost_after_s)
    )
    was_running: bool | None = None  # unknown while the stop is under way
    try:
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            try:
                was_running = stopping.result()
            except (ApiError, LeaseLostError) as error:
                return _lost_from_sight(
                    context, claim, f"its timeout has passed, and it was not stopped: {error.message}"
                )
        ending = await _end_after_stop(context, claim, waiting, absence)
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
    exited = ending.exit_event.exit if ending.exit_event else None
    if exited is None or not (exited.requested_stop if was_running is None else was_running):
        return ending
    return replace(ending, outcome=outcome_of(exited, timed_out=True))


async def _end_after_stop(context: Context, claim: Claim, waiting: asyncio.Task[Ending], absence: Absence) -> Ending:
    """Return the end of a run that was told to stop.

    While the target gives no usable answer, the time does not count: the run may have ended.
    """
    limit_s = stop_limit_s(claim.machine)
    while not waiting.done():
        await asyncio.wait({waiting}, timeout=limit_s)
        if not waiting.done() and not absence.is_under_way:
            return _lost_from_sight(context, claim, f"it was stopped, and has not ended within {limit_s:g} s")
    return waiting.result()


def _lost_from_sight(context: Context, claim: Claim, why: str) -> Ending:
    return Ending(outcome=lost_from_sight(claim.run_id, why, context.local), is_over=False)


async def stop_run(context: Context, claim: Claim) -> bool:
    """Stop the run if it is still the machine's newest. Return False if it had ended.

    That is checked under the lease: else the stop might end the next run.
    """
    machine = claim.machine
    async with hold_lease(
        context, machine.app, machine.id, verb="stop", ttl_s=CLAIM_TTL_S, patience_s=CLAIM_TTL_S
    ) as lease:
        live = await read_machine(context, machine)
        newer = await _newer_events(context, claim, live)
        is_ours = newer is not None and _span(claim, newer).following is None
        if live.state.is_resting or live.state.is_gone or not is_ours:
            return False
        nonce = lease.guard()
        lease.doubt()  # a lost stop may act late: until the lease expires nobody can start another run
        try:
            await context.client.stop_machine(machine.app, machine.id, nonce=nonce)
        except ApiError as error:
            if not error.is_unclear:
                lease.settle()
            raise
        lease.settle()
        return True


async def _wait_for_exit(context: Context, claim: Claim, absence: Absence) -> Ending:
    """Return the run's end.

    Raises ApiError if there is no usable answer for too long.
    """
    missing_since: float | None = None
    is_hinted = False
    looked = await absence.ask(lambda: _judged(context, claim, claim.machine))
    while True:
        if looked is not None:
            seen, ending = looked
            if ending is not None:
                return ending
            if seen.state in _END_STATES:
                # The state may be visible a moment before its exit event: assumption A14.
                missing_since = missing_since or context.clock.monotonic()
                if context.clock.monotonic() - missing_since >= _EXIT_EVENT_PATIENCE_S:
                    return Ending(outcome=lost("the machine is at rest, and no exit was reported"))
                await context.clock.sleep(_POLL_S)
            else:
                missing_since = None
                is_hinted = await _park(context, claim, seen, may_return_at_once=not is_hinted)
        looked = await absence.ask(lambda: _look(context, claim))


async def _look(context: Context, claim: Claim) -> tuple[Machine, Ending | None]:
    return await _judged(context, claim, await read_machine(context, claim.machine))


async def _judged(context: Context, claim: Claim, seen: Machine) -> tuple[Machine, Ending | None]:
    """Return the machine, and the run's end if its events show one.

    Raises ApiError if they do not and the machine's host is down.
    """
    ending = await _ending(context, claim, seen)
    if ending is None and seen.host_status is not HostStatus.OK:
        raise ApiError("the machine's host cannot be reached", kind=ApiErrorKind.UNCLEAR)
    return seen, ending


async def _ending(context: Context, claim: Claim, seen: Machine) -> Ending | None:
    """Return the run's end that this GET shows; None while the run goes on."""
    newer = await _newer_events(context, claim, seen)
    if newer is None:
        return Ending(outcome=lost("the events since its start are no longer retained"))
    return _ending_in(newer, claim, seen)


def _shown_end(claim: Claim) -> Ending | None:
    """Return the end that the machine of the claim shows; None if that needs a call."""
    newer = newer_than(claim.machine.events, claim.start.id)
    return None if newer is None else _ending_in(newer, claim, claim.machine)


def _ending_in(newer: tuple[Event, ...], claim: Claim, seen: Machine) -> Ending | None:
    update = next((event for event in reversed(newer) if event.type == "update"), None)
    exited = final_exit(newer)
    if update and (exited is None or is_newer(exited, update, newer)):
        return Ending(outcome=replaced("the machine was updated while the task ran"))
    if exited is not None and exited.exit is not None:
        is_whole = len(newer) < _EVENTS - 1  # else the oldest events may no longer be retained
        attempts = len(_span(claim, newer).starts) if is_whole else None
        return Ending(outcome=outcome_of(exited.exit), exit_event=exited, attempts=attempts)
    if seen.state is MachineState.DESTROYED:
        return Ending(outcome=replaced("the machine was destroyed while the task ran"))
    return None


async def _newer_events(context: Context, claim: Claim, seen: Machine) -> tuple[Event, ...] | None:
    """Return the events since the run's start, newest first; None if that is unknown.

    The start of a run that the platform restarts again and again is no longer retained. Then all events are newer, if
    no later claim is on record and no start of another run is among them.
    """
    newer = newer_than(seen.events, claim.start.id)  # a machine comes with its newest events: assumption A17
    if newer is not None:
        return newer
    events = await context.client.list_events(seen.app, seen.id, limit=_EVENTS)
    newer = newer_than(events, claim.start.id)
    newest = newest_record(seen.metadata)
    is_ours = newest is not None and newest.ulid == claim.run_ulid
    if newer is None and events and is_ours and RunSpan(starts=(claim.start,)).extended(events).following is None:
        return events[:-1] if events[-1].type == "start" else events
    return newer


def _span(claim: Claim, newer: Sequence[Event]) -> RunSpan:
    return RunSpan(starts=(claim.start,)).extended((*newer, claim.start))


async def _park(context: Context, claim: Claim, seen: Machine, *, may_return_at_once: bool) -> bool:
    """Wait for the end for one slice. Return whether the server says that it came.

    A WAIT that returns at once, and is of no use, must not become a busy loop.
    """
    began = context.clock.monotonic()
    reached = False
    with suppress(ApiError):  # whatever it is, the GET that follows shows the state
        reached = await context.client.wait_machine(
            seen.app,
            seen.id,
            states=_END_STATES,
            version=seen.version,  # may change without a restart: assumption A13
            from_event_id=claim.start.id,  # assumption A3
            timeout_s=_SLICE_S,
        )
    if context.clock.monotonic() - began < _POLL_S and not (reached and may_return_at_once):
        await context.clock.sleep(_POLL_S)
    return reached
