"""List the runs of one machine from its events and run records. Pure.

slots/run_starts.py decides which start is whose. Events are newest first and come from one server.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Final

from msgspec.structs import replace

from reconciler.invoke.outcome import lost, newer_than, outcome_of, replaced
from reconciler.model import marks
from reconciler.model.machine import Event, Exit, Machine
from reconciler.model.run import Outcome, RunInfo, RunState
from reconciler.slots.run_records import RunRecord, is_past_deadline, records_of
from reconciler.slots.run_starts import OwnedStart, RunSpan, final_exit, is_newer, owned_starts

_UNKNOWN_STARTER: Final = "unknown"


def runs_of(machine: Machine, events: Sequence[Event]) -> list[RunInfo]:
    """Return the runs that the machine's events or records show, newest first."""
    return [info for info, _span in runs_with_spans(machine, events)]


def runs_with_spans(machine: Machine, events: Sequence[Event]) -> list[tuple[RunInfo, RunSpan | None]]:
    """Return the machine's runs like `runs_of`, each with its retained starts."""
    records = sorted(records_of(machine.metadata).values(), key=lambda record: record.ulid)
    found = owned_starts(events, records)
    runs: list[tuple[RunInfo, RunSpan | None]] = [
        (_info(machine, one, is_ahead=_is_ahead(one.start, machine, events)), one.span) for one in found
    ]
    owned = {one.record.ulid for one in found if one.record}
    for record, following in zip_longest(records, records[1:]):
        if record.ulid not in owned:
            runs.append((_from_record(machine, record, following, events), None))
    return sorted(runs, key=lambda run: (run[0].started_at is not None, run[0].started_at, run[0].id), reverse=True)


def start_of(record: RunRecord, events: Sequence[Event], machine: Machine) -> Event | None:
    """Return the record's start; None if it has none among the events."""
    records = sorted(records_of(machine.metadata).values(), key=lambda one: one.ulid)
    found = (one for one in owned_starts(events, records) if one.record and one.record.ulid == record.ulid)
    return next((one.start for one in found), None)


def _is_ahead(start: Event, machine: Machine, events: Sequence[Event]) -> bool:
    """Return whether the start came after the machine was read.

    Then the machine's newest event is older than the start, and its state says nothing about this run.
    """
    newest = next(iter(machine.events), None)
    older = events[events.index(start) + 1 :]
    return newest is not None and any(event.id == newest.id for event in older)


def _info(machine: Machine, run: OwnedStart, *, is_ahead: bool) -> RunInfo:
    exited = final_exit(run.newer)
    record = run.record
    info = RunInfo(
        id=f"{machine.name}/{record.ulid if record else run.start.id}",
        task=machine.metadata.get(marks.POOL, ""),
        app=machine.app,
        slot=machine.name,
        machine_id=machine.id,
        state=RunState.RUNNING,
        started_at=None if run.is_cut else run.start.at,
        who=record.who if record else _UNKNOWN_STARTER,
        deadline=record.deadline if record else None,
        attempts=None if run.is_cut else len(run.span.starts),
    )
    update = next((event for event in reversed(run.newer) if event.type in {"update", "destroy"}), None)
    if update and (exited is None or is_newer(exited, update, run.newer)):
        word = "updated" if update.type == "update" else "destroyed"
        outcome = replaced(f"the machine was {word} while the task ran")
        return replace(info, state=RunState.ENDED, ended_at=update.at, outcome=outcome)
    if exited is not None and exited.exit is not None:
        outcome = ending_of(exited.exit, ended_at=exited.at, deadline=info.deadline)
        return replace(info, state=RunState.ENDED, ended_at=exited.at, outcome=outcome)
    if run.following or ((machine.state.is_resting or machine.state.is_gone) and not is_ahead):
        return replace(info, state=RunState.ENDED, outcome=lost("the machine is at rest, and no exit was reported"))
    return info


def ending_of(ended: Exit, *, ended_at: datetime, deadline: datetime | None) -> Outcome:
    """Return the outcome of an exit.

    A requested stop at or after the deadline is a timeout.
    """
    return outcome_of(ended, timed_out=ended.requested_stop and is_past_deadline(ended_at, deadline))


def _from_record(machine: Machine, record: RunRecord, following: RunRecord | None, events: Sequence[Event]) -> RunInfo:
    """Return a run whose events are not retained, or a claim that never started."""
    is_in_reach = any(event.id == record.fence for event in events)
    exited = _exit_without_start(record, following, events)
    info = RunInfo(
        id=f"{machine.name}/{record.ulid}",
        task=machine.metadata.get(marks.POOL, ""),
        app=machine.app,
        slot=machine.name,
        machine_id=machine.id,
        state=RunState.NOT_STARTED if is_in_reach else RunState.ENDED,
        who=record.who,
        deadline=record.deadline,
    )
    if exited and exited.exit:
        outcome = ending_of(exited.exit, ended_at=exited.at, deadline=record.deadline)
        return replace(info, state=RunState.ENDED, ended_at=exited.at, outcome=outcome)
    if is_in_reach:
        return info
    if following and following.previous:
        return replace(info, outcome=outcome_of(following.previous, timed_out=following.previous_was_late))
    return replace(info, outcome=lost("its end is no longer retained"))


def _exit_without_start(record: RunRecord, following: RunRecord | None, events: Sequence[Event]) -> Event | None:
    """Return the exit of a run whose start is not retained, by the fences around it.

    Not the exit of the run before: that may come late, after the machine was seen at rest.
    """
    newer = newer_than(events, record.fence)
    if newer is None:
        return None
    after = newer_than(newer, following.fence) if following else ()
    if after is None:
        return None  # the next claim has the same fence: it voids this one
    older = events[len(newer) :]
    before = next((event for event in older if event.type == "start" or event.exit is not None), None)
    return final_exit(newer[len(after) :]) if before is None or before.exit is not None else None
