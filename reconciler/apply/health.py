"""Decide whether a changed service is up, and if not, say why.

It is up if it runs, stays up, and its checks pass. The machine's own events decide that, so no crash between two reads
is missed. A service that may rest when it is idle can come up and rest before anyone looks: that is up too.

For a machine that is not up, the end of the log since its change is read. Lines arrive a moment after the crash that
they explain, so this waits for them, but never for long. If logs cannot be read, this says so once and goes on.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from reconciler.errors import ApiError
from reconciler.model.crashes import Crash, crash_in, exit_words, newest_run
from reconciler.model.machine import Check, Event, Machine, MachineState
from reconciler.model.report import Unhealthy
from reconciler.slots.context import Context
from reconciler.slots.log_reader import LogReader
from reconciler.slots.wait import read_machine

TIMEOUT_S: Final = 300.0
_SLICE_S: Final = 10.0
_POLL_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 4.0
_SHORTEST_PAUSE_S: Final = 0.01
_SETTLING_PAUSE_S: Final = 0.25
_CHECKS_SHOWN: Final = 4
_LOG_LINES: Final = 10
_LOG_TIMEOUT_S: Final = 5.0
_LOG_QUIET_S: Final = 1.0  # without a new line, once there is one
_LOG_POLL_S: Final = 0.5
_LOG_PAGE_PAUSE_S: Final = 0.01  # so that no answer at all makes a hot loop
_LOG_PATIENCE_S: Final = 3.0  # with a log that cannot be read


class Watch(Struct, frozen=True, kw_only=True):
    """What is watched: the machine as its change has left it.

    `fence` is its newest event before the change, None if the change made it. `is_starting` says that a create or a
    start was sent since the machine was seen like this. With `min_healthy_s` 0 no crash is looked for.
    """

    machine: Machine
    fence: str | None
    is_starting: bool
    min_healthy_s: float
    timeout_s: float = TIMEOUT_S


class _Look(Struct, frozen=True, kw_only=True):
    """One read of the machine; `run` are the events of its newest version's run."""

    seen: Machine
    newer: tuple[Event, ...]
    run: tuple[Event, ...]
    up_since: float | None  # since when it has been seen to run without a break
    up_s: float | None

    @property
    def since_ms(self) -> int:
        """Return from when on the machine's log is about the change."""
        events = self.run or self.newer
        return events[-1].timestamp_ms if events else 0


async def watch_up(context: Context, watch: Watch) -> Unhealthy | None:
    """Return None once the machine is up, else why it is not, with its last lines.

    A crash ends the wait at once; checks have `timeout_s`. Raises ApiError if the machine cannot be read.
    """
    name = f"{watch.machine.app}/{watch.machine.name}"
    deadline = context.clock.monotonic() + watch.timeout_s
    if watch.is_starting:
        await _park(context, watch.machine, deadline)
    up_since: float | None = None
    pause_s, told = _POLL_S, ""
    while True:
        look = await _look(context, watch, deadline, up_since)
        if (verdict := _verdict(look, watch, is_late=context.clock.monotonic() >= deadline)) is not None:
            return await _with_log(context, look, verdict)
        if _is_up(look, watch):
            return None
        up_since = look.up_since
        if look.up_s is None:
            pause_s = _POLL_S
            await _park(context, look.seen, deadline)
            continue
        if (words := _doing(look, watch)) != told:
            context.emit(f"{name}: {words}")
            told = words
        left_s = watch.min_healthy_s - look.up_s
        await context.clock.sleep(max(_SHORTEST_PAUSE_S, min(pause_s, left_s)) if left_s > 0 else _POLL_S)
        pause_s = min(pause_s + 1.0, _LONGEST_PAUSE_S)


async def _look(context: Context, watch: Watch, deadline: float, up_since: float | None) -> _Look:
    """Read the machine. A passing refusal is tried again until the deadline."""
    while True:
        try:
            seen = await read_machine(context, watch.machine)
            newer = await _newer_events(context, seen, watch.fence)
            break
        except ApiError as error:
            if not error.is_passing or context.clock.monotonic() >= deadline:
                raise
            await context.clock.sleep(_POLL_S)
    now = context.clock.monotonic()
    if seen.state is MachineState.STARTED:
        up_since = now if up_since is None else up_since
    else:
        up_since = None
    up_s = None if up_since is None else now - up_since
    return _Look(seen=seen, newer=newer, run=newest_run(newer), up_since=up_since, up_s=up_s)


async def _newer_events(context: Context, seen: Machine, fence: str | None) -> tuple[Event, ...]:
    """Return the events newer than the change.

    A machine comes with few events. If older ones are needed, its longer list is read; those that have left that list
    too are not known.
    """
    newer = _above(seen.events, fence)
    if newer is None:
        events = await context.client.list_events(seen.app, seen.id)
        newer = _above(events, fence)
        newer = events if newer is None else newer
    return newer


def _above(events: Sequence[Event], fence: str | None) -> tuple[Event, ...] | None:
    """Return the events above the fence; None if the list does not reach back to it.

    Without a fence they reach back to the machine's creation.
    """
    for position, event in enumerate(events):
        if event.id == fence:
            return tuple(events[:position])
        if fence is None and event.type in {"launch", "update"}:
            return tuple(events[: position + 1])
    return None


def _verdict(look: _Look, watch: Watch, *, is_late: bool) -> Unhealthy | None:
    """Say why the machine is not up; None if it is, or may become so."""
    crash = crash_in(look.run) if watch.min_healthy_s > 0 else None
    if crash:
        why = crash_words(crash, look.run)
        return Unhealthy(why=f"did not stay up: {why}", ended=crash.ended, restarts=crash.restarts)
    state = look.seen.state
    if state.is_gone or state is MachineState.FAILED:
        return Unhealthy(why=f"not running after its start: {state.value}")
    if not is_late or _is_up(look, watch):
        return None
    if look.up_s is None:
        return Unhealthy(why=f"not running after its start: {state.value}")
    if look.up_s < watch.min_healthy_s:
        return None
    failing = _failing(look.seen)
    return Unhealthy(why=f"its health checks do not pass: {failing_words(failing)}", failing=failing)


def _is_up(look: _Look, watch: Watch) -> bool:
    """Return whether nothing is left to wait for."""
    if has_gone_to_rest(replace(look.seen, events=look.run)):
        return True
    return look.up_s is not None and look.up_s >= watch.min_healthy_s and _do_checks_pass(look.seen)


def _do_checks_pass(machine: Machine) -> bool:
    if not (machine.config and machine.config.has_checks):
        return True
    # The list is empty right after a launch: nothing was reported is not the same as nothing is wrong.
    return bool(machine.checks) and not _failing(machine)


def _failing(machine: Machine) -> tuple[Check, ...]:
    return tuple(check for check in machine.checks if check.status != "passing")


def _doing(look: _Look, watch: Watch) -> str:
    assert look.up_s is not None
    if look.up_s < watch.min_healthy_s:
        return f"running; watched for {watch.min_healthy_s:g} s"
    return f"running; waiting for its health checks: {failing_words(_failing(look.seen))}"


async def _park(context: Context, machine: Machine, deadline: float) -> None:
    """Wait for the machine to start, in one slice; that it did is only a hint."""
    began = context.clock.monotonic()
    await context.client.wait_machine(
        machine.app,
        machine.id,
        states=(MachineState.STARTED, MachineState.FAILED),
        version=machine.version,
        timeout_s=min(_SLICE_S, max(1.0, deadline - began)),
    )
    if context.clock.monotonic() == began:
        await context.clock.sleep(_SETTLING_PAUSE_S)  # a server whose WAIT answers at once is not asked in a hot loop


async def _with_log(context: Context, look: _Look, unhealthy: Unhealthy) -> Unhealthy:
    return replace(unhealthy, log=await last_lines(context, look.seen, since_ms=look.since_ms))


def has_gone_to_rest(machine: Machine) -> bool:
    """Return whether it was started, and then stopped because it was idle.

    Not so if it ended by itself. Assumed: the proxy's stop shows in the exit as one that was asked for.
    """
    if not (machine.config and machine.config.may_rest and machine.state.is_resting):
        return False
    if not any(event.type == "start" for event in machine.events):
        return False
    if machine.state is MachineState.SUSPENDED:
        return True
    ended = next((event.exit for event in machine.events if event.exit), None)
    return machine.state is MachineState.STOPPED and ended is not None and ended.requested_stop


def crash_words(crash: Crash, run: Sequence[Event]) -> str:
    """Return such as `exited with code 1 after 0.2 s, and was restarted once`.

    `run` are the events from the start on.
    """
    ended = next(event for event in reversed(run) if event.exit is crash.ended)
    after_s = max(0, ended.timestamp_ms - run[-1].timestamp_ms) / 1000
    words = f"{exit_words(crash.ended)} after {after_s:.1f} s"
    if crash.restarts:
        times = "once" if crash.restarts == 1 else f"{crash.restarts} times"
        return f"{words}, and was restarted {times}"
    return f"{words}, and is being restarted" if crash.ended.restarting else words


def failing_words(failing: Sequence[Check]) -> str:
    """List the checks that do not pass, and what they said, if they reported."""
    if not failing:
        return "no report"
    shown = [f"{check.name} {check.status}" + (f" ({check.output})" if check.output else "") for check in failing]
    more = f" and {len(failing) - _CHECKS_SHOWN} more" if len(failing) > _CHECKS_SHOWN else ""
    return ", ".join(shown[:_CHECKS_SHOWN]) + more


async def last_lines(context: Context, machine: Machine, *, since_ms: int) -> tuple[str, ...]:
    """Return at most ten lines, the oldest first; () if none can be read in time."""
    lines: deque[str] = deque(maxlen=_LOG_LINES)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOG_TIMEOUT_S):
                await _read(context, LogReader(context, machine, since_ms=since_ms), since_ms, lines)
    except Exception as error:
        context.emit(f"{machine.app}/{machine.name}: its log cannot be read: {context.explain(error)}")
    return tuple(lines)


async def _read(context: Context, reader: LogReader, since_ms: int, lines: deque[str]) -> None:
    """Read until nothing new has come for a moment."""
    quiet_since = context.clock.monotonic()
    while not lines or context.clock.monotonic() - quiet_since < _LOG_QUIET_S:
        fresh = await reader.read_within(_LOG_PATIENCE_S)
        for line in fresh:
            if (line.is_output or line.is_platform_error) and line.timestamp.timestamp() * 1000 >= since_ms:
                lines.append(line.message)
        if fresh:
            quiet_since = context.clock.monotonic()
        await context.clock.sleep(_LOG_PAGE_PAUSE_S if fresh else _LOG_POLL_S)
