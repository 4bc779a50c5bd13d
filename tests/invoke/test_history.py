"""Recorded lists of events against the runs that they tell of: each class of ends, restarts, races and gaps."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.invoke.history import runs_of
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Event, Exit, Machine, MachineState
from reconciler.model.run import OutcomeName, RunState
from reconciler.slots.run_records import RunRecord

A, B = "A" * 26, "B" * 26


def event(identifier: int, kind: str, ended: Exit | None = None) -> Event:
    return Event(id=f"e{identifier}", type=kind, status="", source="flyd", timestamp_ms=identifier * 1000, exit=ended)


def ended(identifier: int, **details: Any) -> Event:
    return event(identifier, "exit", Exit(**details))


def story(*events: Event) -> tuple[Event, ...]:
    """Events given in their order, as the server lists them."""
    return tuple(reversed(events))


def machine(*records: RunRecord, state: MachineState = MachineState.STOPPED, events: tuple[Event, ...] = ()) -> Machine:
    """The machine with these records; `events` are those that it was seen with itself."""
    metadata = {f"{marks.RUN}{number}": record.to_text() for number, record in enumerate(records)}
    metadata |= {marks.STACK: "stack", marks.POOL: "work", marks.SLOT: "work-iad-0"}
    return Machine(
        app="app",
        id="m1",
        name="work-iad-0",
        state=state,
        region="iad",
        version="01",
        config=MachineConfig(document={"metadata": metadata}),
        events=events,
    )


def record(ulid: str, fence: int, **details: object) -> RunRecord:
    return RunRecord(ulid=ulid, fence=f"e{fence}", who="me", **details)  # type: ignore[arg-type]


def told(subject: Machine, events: Sequence[Event]) -> list[tuple[str, str, str | None]]:
    return [
        (info.id.partition("/")[2], info.who, info.outcome.name.value if info.outcome else info.state.value)
        for info in runs_of(subject, events)
    ]


LAUNCH = event(1, "launch")
RUNNING = MachineState.STARTED
CASES = {
    "nothing yet": (machine(), story(LAUNCH), []),
    "one that succeeded": (
        machine(record(A, 1)),
        story(LAUNCH, event(2, "start"), ended(3, code=0)),
        [(A, "me", "succeeded")],
    ),
    "one in progress": (machine(record(A, 1), state=RUNNING), story(LAUNCH, event(2, "start")), [(A, "me", "running")]),
    "two, newest first": (
        machine(record(A, 1), record(B, 3)),
        story(LAUNCH, event(2, "start"), ended(3, code=7), event(4, "start"), ended(5, code=0)),
        [(B, "me", "succeeded"), (A, "me", "failed")],
    ),
    "a restart of the platform's own is the same run": (
        machine(record(A, 1)),
        story(
            LAUNCH,
            event(2, "start"),
            ended(3, code=1, restarting=True),
            event(4, "start"),
            ended(5, code=2),
        ),
        [(A, "me", "failed")],
    ),
    "restarted so often that its start has left the events": (
        machine(record(A, 1), record(B, 9), state=RUNNING),
        story(ended(30, code=1, restarting=True), event(31, "start"), ended(32, code=1, restarting=True)),
        [(B, "me", "running"), (A, "me", "lost")],
    ),
    "the same, and its end": (
        machine(record(A, 1), record(B, 9)),
        story(event(30, "start"), ended(31, code=1, restarting=True), event(32, "start"), ended(33, code=4)),
        [(B, "me", "failed"), (A, "me", "lost")],
    ),
    "restarted often, and the next run": (
        machine(record(A, 1), record(B, 32)),
        story(ended(30, code=1, restarting=True), event(31, "start"), ended(32, code=7), event(33, "start")),
        [(B, "me", "lost"), (A, "me", "failed")],
    ),
    "a start whose fence has left the events may be anyone's": (
        machine(record(A, 1), record(B, 9)),
        story(event(30, "start"), ended(31, code=4)),
        [("e30", "unknown", "failed"), (B, "me", "lost"), (A, "me", "lost")],
    ),
    "stopped before its restart": (
        machine(record(A, 1)),
        story(LAUNCH, event(2, "start"), ended(3, code=1, restarting=True), event(4, "stop")),
        [(A, "me", "cancelled")],
    ),
    "stopped before its restart, and the next run": (
        machine(record(A, 1), record(B, 4), state=RUNNING),
        story(LAUNCH, event(2, "start"), ended(3, code=1, restarting=True), event(4, "stop"), event(5, "start")),
        [(B, "me", "running"), (A, "me", "cancelled")],
    ),
    "without an exit, and the next run goes on": (
        machine(record(A, 1), record(B, 2), state=RUNNING),
        story(LAUNCH, event(2, "start"), event(4, "start")),
        [(B, "me", "running"), (A, "me", "lost")],
    ),
    "a bare start by someone else after ours": (
        machine(record(A, 1)),
        story(LAUNCH, event(2, "start"), ended(3, code=0), event(4, "start"), ended(5, code=9)),
        [("e4", "unknown", "failed"), (A, "me", "succeeded")],
    ),
    "a start without any record": (
        machine(state=RUNNING),
        story(LAUNCH, event(2, "start")),
        [("e2", "unknown", "running")],
    ),
    "a claimer that died before its start": (machine(record(A, 1)), story(LAUNCH), [(A, "me", "not started")]),
    "and the next claim took over": (
        machine(record(A, 1), record(B, 1)),
        story(LAUNCH, event(2, "start"), ended(3, code=0)),
        [(B, "me", "succeeded"), (A, "me", "not started")],
    ),
    "ended by a signal": (
        machine(record(A, 1)),
        story(LAUNCH, event(2, "start"), ended(3, code=137, signal=9)),
        [(A, "me", "signalled")],
    ),
    "out of memory": (
        machine(record(A, 1)),
        story(LAUNCH, event(2, "start"), ended(3, code=137, oom_killed=True)),
        [(A, "me", "out_of_memory")],
    ),
    "cancelled": (
        machine(record(A, 1)),
        story(LAUNCH, event(2, "start"), event(3, "stop"), ended(4, code=130, signal=2, requested_stop=True)),
        [(A, "me", "cancelled")],
    ),
    "ended at its deadline": (
        machine(record(A, 1, deadline=datetime.fromtimestamp(4, UTC))),
        story(LAUNCH, event(2, "start"), ended(4, code=130, signal=2, requested_stop=True)),
        [(A, "me", "timed_out")],
    ),
    "updated underneath": (
        machine(record(A, 1)),
        story(LAUNCH, event(2, "start"), event(3, "update"), ended(4, code=127)),
        [(A, "me", "replaced")],
    ),
    "destroyed underneath": (
        machine(record(A, 1), state=MachineState.DESTROYED),
        story(LAUNCH, event(2, "start"), event(3, "destroy")),
        [(A, "me", "replaced")],
    ),
    "at rest without an exit": (machine(record(A, 1)), story(LAUNCH, event(2, "start")), [(A, "me", "lost")]),
    "at rest without an exit, and seen after the start": (
        machine(record(A, 1), events=story(LAUNCH, event(2, "start"))),
        story(LAUNCH, event(2, "start")),
        [(A, "me", "lost")],
    ),
    "seen at rest before the start": (
        machine(record(A, 1), events=story(LAUNCH)),
        story(LAUNCH, event(2, "start")),
        [(A, "me", "running")],
    ),
    "seen at rest before the second start": (
        machine(record(A, 1), record(B, 3), events=story(LAUNCH, event(2, "start"), ended(3, code=7))),
        story(LAUNCH, event(2, "start"), ended(3, code=7), event(4, "start")),
        [(B, "me", "running"), (A, "me", "failed")],
    ),
    "without an exit, and another start after it": (
        machine(record(A, 1), record(B, 2), events=story(LAUNCH, event(2, "start"), event(4, "start"))),
        story(LAUNCH, event(2, "start"), event(4, "start")),
        [(B, "me", "lost"), (A, "me", "lost")],
    ),
    "an exit of unknown code": (
        machine(record(A, 1)),
        story(LAUNCH, event(2, "start"), ended(3, code=-1, error="the host died")),
        [(A, "me", "lost")],
    ),
    "older than the events, and the next record tells": (
        machine(record(A, 1), record(B, 30, previous=Exit(code=5))),
        story(ended(30, code=5), event(31, "start"), ended(32, code=0)),
        [(B, "me", "succeeded"), (A, "me", "failed")],
    ),
    "older than the events, and nothing tells": (
        machine(record(A, 1), record(B, 30)),
        story(ended(30, code=5), event(31, "start"), ended(32, code=0)),
        [(B, "me", "succeeded"), (A, "me", "lost")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_runs_that_events_and_records_tell_of(case: str) -> None:
    subject, events, expected = CASES[case]
    assert told(subject, events) == expected


def test_times_deadlines_and_codes_are_told_too() -> None:
    deadline = datetime.fromtimestamp(100, UTC)
    subject = machine(record(A, 1, deadline=deadline))
    [info] = runs_of(subject, story(LAUNCH, event(2, "start"), ended(5, code=3)))
    assert info.started_at == datetime.fromtimestamp(2, UTC)
    assert info.ended_at == datetime.fromtimestamp(5, UTC)
    assert (info.deadline, info.state, info.task, info.slot) == (deadline, RunState.ENDED, "work", "work-iad-0")
    assert info.outcome
    assert (info.outcome.name, info.outcome.exit_code) == (OutcomeName.FAILED, 3)
