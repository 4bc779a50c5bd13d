"""Derive the outcome of a run from its machine's events. Pure.

Nothing is guessed: an end that cannot be known is LOST. Events are newest first and come from one server, so "newer"
means above in the list: the clocks of two hosts cannot be compared.
"""

from collections.abc import Sequence
from typing import Final

from reconciler.model.local_engine import LocalEngine
from reconciler.model.machine import Event, Exit
from reconciler.model.run import NeverStarted, Outcome, OutcomeName

BUSY_CODE: Final = 120
NEVER_STARTED_CODE: Final = 121
LOST_CODE: Final = 122
TIMEOUT_CODE: Final = 124
REFUSED_CODE: Final = 125
INTERRUPTED_CODE: Final = 130
_SIGNAL_BASE: Final = 128
_HIGHEST_CODE: Final = 255  # the system keeps the low byte of an exit code: 256 would be a success


def newer_than(events: Sequence[Event], fence_id: str | None) -> tuple[Event, ...] | None:
    """Return the events above the fence, newest first; None if it is not in the list.

    Without a fence, return all events.
    """
    if fence_id is None:
        return tuple(events)
    for position, event in enumerate(events):
        if event.id == fence_id:  # ids are opaque, only their order in the list counts: assumption A15
            return tuple(events[:position])
    return None


def first_start(events: Sequence[Event]) -> Event | None:
    """Return the oldest `start` among events that are newest first: our own."""
    return next((event for event in reversed(events) if event.type == "start"), None)


def outcome_of(ended: Exit, *, timed_out: bool = False) -> Outcome:
    """Return the outcome of an exit; `timed_out` if we stopped it at its timeout."""
    if timed_out:
        return Outcome(
            name=OutcomeName.TIMED_OUT,
            exit_code=TIMEOUT_CODE,
            message="ended by its timeout",
            task_code=ended.code if ended.is_known else None,
            signal=ended.signal,
            remedy="raise `timeout` in the spec, or pass --timeout",
        )
    if not ended.is_known:
        return lost(ended.error or "the platform does not know its exit code")
    if ended.oom_killed:
        return _out_of_memory(ended)
    if ended.requested_stop:
        return _cancelled(ended)
    if ended.signal:
        return _signalled(ended.signal)
    if ended.code == 0:
        return Outcome(name=OutcomeName.SUCCEEDED, exit_code=0, message="succeeded", task_code=0)
    return Outcome(
        name=OutcomeName.FAILED,
        exit_code=process_code(ended.code),
        message=f"exited {ended.code}",
        task_code=ended.code,
        remedy="its output says why; `reconciler logs RUN` shows it again",
    )


def _out_of_memory(ended: Exit) -> Outcome:
    code = ended.code or _SIGNAL_BASE + 9
    return Outcome(
        name=OutcomeName.OUT_OF_MEMORY,
        exit_code=process_code(code),
        message="killed for lack of memory",
        task_code=code,
        signal=ended.signal,
        remedy="give the pool a larger `guest`",
    )


def _cancelled(ended: Exit) -> Outcome:
    code = _SIGNAL_BASE + ended.signal if ended.signal else ended.code
    return Outcome(
        name=OutcomeName.CANCELLED,
        exit_code=process_code(code),
        remedy="it was stopped on purpose: invoke it again if that was not meant",
        message="cancelled" + (f", by signal {ended.signal}" if ended.signal else f", and exited {ended.code}"),
        task_code=code,
        signal=ended.signal,
    )


def _signalled(signal: int) -> Outcome:
    code = _SIGNAL_BASE + signal
    return Outcome(
        name=OutcomeName.SIGNALLED,
        exit_code=process_code(code),
        message=f"ended by signal {signal}",
        task_code=code,
        signal=signal,
        remedy="nobody asked for it here: its output, or the machine's log, may say who sent it",
    )


def process_code(code: int) -> int:
    """Return our exit code for a task's code: no failure becomes a success."""
    return min(code, _HIGHEST_CODE)


def lost(why: str, *, remedy: str | None = None) -> Outcome:
    """Return the outcome LOST: how the run ended cannot be known."""
    return Outcome(
        name=OutcomeName.LOST,
        exit_code=LOST_CODE,
        message=f"lost: {why}",
        remedy=remedy or "its logs may tell; `reconciler status` shows the machine",
    )


def lost_from_sight(run_id: str, why: str, local: LocalEngine | None = None, *, verb: str = "wait") -> Outcome:
    """Return the outcome LOST for a run that may go on, and can be found by its id.

    `local` is the local engine that it is on, if any. `verb` is the command to suggest, `wait` or `cancel`.
    """
    then = f"`reconciler {verb} {run_id}` {'tells how it ends' if verb == 'wait' else 'ends it'}"
    return lost(why, remedy=f"`{local.start}` starts the engine again; then {then}" if local else then)


def replaced(why: str) -> Outcome:
    """Return the outcome REPLACED: the machine was changed or destroyed meanwhile."""
    return Outcome(
        name=OutcomeName.REPLACED,
        exit_code=LOST_CODE,
        message=f"replaced: {why}",
        remedy="something other than this tool changes these machines; invoke it again",
    )


def busy(why: str, *, remedy: str = "raise the task's `count`, or --queue-timeout") -> Outcome:
    """Return the outcome BUSY: no machine was free in time."""
    return Outcome(
        name=OutcomeName.BUSY,
        exit_code=BUSY_CODE,
        message=f"no free machine in time: {why}",
        remedy=remedy,
    )


def skipped(why: str) -> Outcome:
    """Return the outcome SKIPPED: all machines are busy, and that is fine."""
    return Outcome(name=OutcomeName.SKIPPED, exit_code=0, message=f"skipped: {why}")


_REMEDIES: Final = {
    None: "`reconciler status` shows the machines; try again, or raise --start-timeout",
    NeverStarted.IMAGE: "check that the image exists and that the app may pull it, then apply and try again",
    NeverStarted.CAPACITY: "the platform has no capacity there now: try again later, or give the pool another region",
    NeverStarted.QUOTA: "the organisation's limit is reached: remove machines, or ask the platform for more",
    NeverStarted.HOST: "the machine's host is down or in maintenance: try again later, or raise `count`",
}


def never_started(why: str, *, cause: NeverStarted | None = None) -> Outcome:
    """Return the outcome NEVER_STARTED: no machine could be started."""
    return Outcome(
        name=OutcomeName.NEVER_STARTED,
        exit_code=NEVER_STARTED_CODE,
        message=f"never started: {why}",
        remedy=_REMEDIES[cause],
        cause=cause,
    )


def refused(why: str, *, remedy: str | None = None) -> Outcome:
    """Return the outcome REFUSED: the run must not be started."""
    return Outcome(name=OutcomeName.REFUSED, exit_code=REFUSED_CODE, message=why, remedy=remedy)


def detached(why: str) -> Outcome:
    """Return the outcome DETACHED: the run goes on, and nobody waits for it."""
    return Outcome(name=OutcomeName.DETACHED, exit_code=0, message=why)


def interrupted() -> Outcome:
    """Return the outcome INTERRUPTED: stopped before anything was started."""
    return Outcome(
        name=OutcomeName.INTERRUPTED, exit_code=INTERRUPTED_CODE, message="interrupted before the start; nothing ran"
    )
