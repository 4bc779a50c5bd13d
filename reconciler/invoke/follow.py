"""From a claimed machine to the end of its run: waits, streams the run's logs, ends it at its timeout."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from reconciler.errors import ApiError
from reconciler.invoke.claimant import Claim
from reconciler.invoke.logs import LogReader
from reconciler.invoke.outcome import lost, newer_than, outcome_of, replaced
from reconciler.model import marks
from reconciler.model.machine import Event, HostStatus, Machine, MachineState
from reconciler.model.run import Outcome
from reconciler.slots.actor import Actor
from reconciler.slots.confirm import read_machine
from reconciler.slots.lease import CLAIM_TTL_S, hold_lease
from reconciler.slots.override import owner_of, restore_if_idle
from reconciler.slots.run_starts import final_exit

_SLICE_S: Final = 55.0
_EXIT_EVENT_PATIENCE_S: Final = 5.0
_POLL_S: Final = 0.2
_UNREACHABLE_POLL_S: Final = 2.0
_END_STATES: Final = (MachineState.STOPPED, MachineState.FAILED, MachineState.DESTROYED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the run ended, and its last event, if there is one."""

    outcome: Outcome
    exit_event: Event | None = None


async def follow(actor: Actor, claim: Claim, *, timeout_s: float | None, logs: LogReader | None) -> Ending:
    """The run's end. Errors of the platform while it goes on are waited out; the run goes on without us."""
    streaming = asyncio.create_task(logs.stream()) if logs else None
    try:
        ending = await _end_of(actor, claim, timeout_s=timeout_s)
    finally:
        if streaming:
            streaming.cancel()
            with suppress(asyncio.CancelledError):
                await streaming
    if logs:
        await logs.drain()
    if owner_of(claim.machine.metadata.get(marks.OVERRIDE, "")) == claim.run_ulid:
        why = await restore_if_idle(actor, claim.machine, ulid=claim.run_ulid, declared=claim.declared)
        if why:
            actor.emit(why)
    return ending


async def _end_of(actor: Actor, claim: Claim, *, timeout_s: float | None) -> Ending:
    waiting = asyncio.create_task(_wait_for_exit(actor, claim))
    timer = asyncio.create_task(actor.clock.sleep(timeout_s)) if timeout_s else None
    try:
        pending = {waiting, timer} if timer else {waiting}
        await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        actor.emit(f"{claim.machine.name}: {timeout_s:g} s are over; stopping the run")
        was_running = await stop_run(actor, claim)
        ending = await waiting
        if not was_running or ending.exit_event is None or ending.exit_event.exit is None:
            return ending
        return Ending(outcome=outcome_of(ending.exit_event.exit, timed_out=True), exit_event=ending.exit_event)
    finally:
        for task in (waiting, timer):
            if task:
                task.cancel()


async def stop_run(actor: Actor, claim: Claim) -> bool:
    """Stops the run if it still is the machine's newest; False where it had ended.

    Without the look under the lease, the stop might end the next run.
    """
    machine = claim.machine
    async with hold_lease(
        actor, machine.app, machine.id, verb="stop", ttl_s=CLAIM_TTL_S, patience_s=CLAIM_TTL_S
    ) as lease:
        live = await read_machine(actor, machine)
        newest = next((event for event in live.events if event.type == "start"), None)
        if live.state.is_resting or live.state.is_gone or newest is None or newest.id != claim.start.id:
            return False
        await actor.client.stop_machine(machine.app, machine.id, nonce=lease.guard())
        return True


async def _wait_for_exit(actor: Actor, claim: Claim) -> Ending:
    seen = claim.machine
    missing_since: float | None = None
    is_hinted = False
    while True:
        try:
            ending = await _ending(actor, claim, seen)
            if ending is not None:
                return ending
            if seen.state in _END_STATES:
                # The state may be visible a moment before its exit event.
                missing_since = missing_since or actor.clock.monotonic()
                if actor.clock.monotonic() - missing_since >= _EXIT_EVENT_PATIENCE_S:
                    return Ending(outcome=lost("the machine rests, and no exit was reported"))
                await actor.clock.sleep(_POLL_S)
            else:
                missing_since = None
                is_hinted = await _park(actor, claim, seen, may_return_at_once=not is_hinted)
            seen = await read_machine(actor, claim.machine)
        except ApiError as error:
            if not error.is_passing:
                raise
            actor.emit(f"{claim.machine.name}: cannot look at the run: {error.message}")
            await actor.clock.sleep(_UNREACHABLE_POLL_S)


async def _ending(actor: Actor, claim: Claim, seen: Machine) -> Ending | None:
    """The run's end as far as this GET shows it; None while it goes on."""
    newer = newer_than(seen.events, claim.start.id)
    if newer is None:
        newer = newer_than(await actor.client.list_events(seen.app, seen.id, limit=50), claim.start.id)
    if newer is None:
        return Ending(outcome=lost("the machine's history no longer reaches back to its start"))
    update = next((event for event in reversed(newer) if event.type == "update"), None)
    exited = final_exit(newer)
    if update and (exited is None or newer.index(exited) < newer.index(update)):
        return Ending(outcome=replaced("the machine was updated while the task ran"))
    if exited is not None and exited.exit is not None:
        return Ending(outcome=outcome_of(exited.exit), exit_event=exited)
    if seen.state is MachineState.DESTROYED:
        return Ending(outcome=replaced("the machine was destroyed while the task ran"))
    if seen.host_status is not HostStatus.OK and seen.state in _END_STATES:
        return Ending(outcome=lost("the machine's host cannot be reached"))
    return None


async def _park(actor: Actor, claim: Claim, seen: Machine, *, may_return_at_once: bool) -> bool:
    """Waits for the end in one slice; whether the server says that it came.

    A WAIT that is over at once without being of use must not become a hot loop.
    """
    began = actor.clock.monotonic()
    reached = await actor.client.wait_machine(
        seen.app,
        seen.id,
        states=_END_STATES,
        version=seen.instance_id,
        from_event_id=claim.start.id,
        timeout_s=_SLICE_S,
    )
    if actor.clock.monotonic() - began < _POLL_S and not (reached and may_return_at_once):
        await actor.clock.sleep(_POLL_S)
    return reached
