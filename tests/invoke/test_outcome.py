"""From events to outcomes: tables, and the classic bugs (a stale exit, a restart taken for an end)."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from reconciler.invoke.outcome import first_start, newer_than, outcome_of
from reconciler.model import marks
from reconciler.model.machine import Event, Exit
from reconciler.model.run import OutcomeName as O
from reconciler.slots.run_records import RECORDS, RunRecord, newest_record, next_key, parse_record
from reconciler.slots.run_starts import final_exit

ULID = "01J00000000000000000000000"


def event(identifier: str, kind: str, ended: Exit | None = None) -> Event:
    return Event(id=identifier, type=kind, status="", source="flyd", timestamp_ms=0, exit=ended)


@pytest.mark.parametrize(
    ("ended", "name", "code"),
    [
        (Exit(code=0), O.SUCCEEDED, 0),
        (Exit(code=7), O.FAILED, 7),
        (Exit(code=124), O.FAILED, 124),
        (Exit(code=255), O.FAILED, 255),
        (Exit(code=256), O.FAILED, 255),
        (Exit(code=512, requested_stop=True), O.CANCELLED, 255),
        (Exit(code=1024, oom_killed=True), O.OUT_OF_MEMORY, 255),
        (Exit(code=0, signal=128), O.SIGNALLED, 255),
        (Exit(code=137, signal=9), O.SIGNALLED, 137),
        (Exit(code=0, signal=15), O.SIGNALLED, 143),
        (Exit(code=137, oom_killed=True, signal=9), O.OUT_OF_MEMORY, 137),
        (Exit(code=0, oom_killed=True), O.OUT_OF_MEMORY, 137),
        (Exit(code=-1), O.LOST, 122),
        (Exit(code=0, error="the host died"), O.LOST, 122),
        (Exit(code=0, requested_stop=True), O.CANCELLED, 0),
        (Exit(code=130, signal=2, requested_stop=True), O.CANCELLED, 130),
    ],
)
def test_an_exit_has_one_outcome_and_one_code(ended: Exit, name: O, code: int) -> None:
    outcome = outcome_of(ended)
    assert (outcome.name, outcome.exit_code) == (name, code)


def test_a_run_that_its_timeout_ended_says_so_whatever_its_code() -> None:
    outcome = outcome_of(Exit(code=0), timed_out=True)
    assert (outcome.name, outcome.exit_code, outcome.task_code) == (O.TIMED_OUT, 124, 0)


@pytest.mark.parametrize("is_late", [False, True])
def test_the_tasks_own_code_is_told_as_it_is_and_only_where_it_is_known(is_late: bool) -> None:
    assert outcome_of(Exit(code=256), timed_out=is_late).task_code == 256
    assert outcome_of(Exit(code=-1), timed_out=is_late).task_code is None
    assert outcome_of(Exit(code=0, error="not understood"), timed_out=is_late).task_code is None


@pytest.mark.parametrize("ended", [Exit(code=0, error="the host died"), Exit(code=-1), Exit(code=-7, signal=9)])
def test_an_end_that_is_not_known_is_no_success_in_a_record_either(ended: Exit) -> None:
    kept = parse_record(RunRecord(ulid=ULID, fence="f", who="me", previous=ended).to_text())
    assert kept
    assert kept.previous
    assert outcome_of(kept.previous).name is O.LOST


@pytest.mark.parametrize("text", ["²", "9" * 5000, "-1", "١٢"])
def test_a_record_of_odd_digits_is_read_without_them(text: str) -> None:
    record = parse_record(f"{ULID};f;;{text};{text}.0;me")
    assert record
    assert record.deadline is None
    assert record.previous in {None, Exit(code=-1)}


NEWEST_FIRST = (
    event("6", "exit", Exit(code=2)),
    event("5", "exit", Exit(code=1, restarting=True)),
    event("4", "start"),
    event("3", "start"),
    event("2", "exit", Exit(code=9)),
    event("1", "launch"),
)


def test_only_what_stands_above_the_fence_is_newer() -> None:
    assert [one.id for one in newer_than(NEWEST_FIRST, "3") or ()] == ["6", "5", "4"]
    assert newer_than(NEWEST_FIRST, "6") == ()
    assert newer_than(NEWEST_FIRST, None) == NEWEST_FIRST
    assert newer_than(NEWEST_FIRST, "gone") is None


def test_our_start_is_the_oldest_after_the_fence_and_our_end_the_first_exit_without_a_restart() -> None:
    newer = newer_than(NEWEST_FIRST, "2") or ()
    start, ended = first_start(newer), final_exit(newer)
    assert start
    assert start.id == "3"
    assert ended
    assert ended.id == "6"
    assert final_exit(NEWEST_FIRST[1:4]) is None


def test_a_record_survives_its_text_whoever_wrote_it() -> None:
    record = RunRecord(
        ulid="0" * 26,
        fence="01EVENT",
        who="me; and töo" + "x" * 300,
        deadline=datetime(2026, 1, 1, tzinfo=UTC),
        key="abcd",
        previous=Exit(code=137, signal=9, oom_killed=True),
    )
    text = record.to_text()
    assert len(text.encode()) <= 200
    again = parse_record(text)
    assert again
    assert replace(again, who="") == replace(record, who="")
    assert again.who.startswith("me, and t?o")


@pytest.mark.parametrize("text", ["", "x", ";;;;", "1;2;3;4;5", "\x00" * 30])
def test_what_is_no_record_is_none(text: str) -> None:
    assert parse_record(text) is None


def test_records_go_round_and_the_oldest_goes_first() -> None:
    metadata: dict[str, str] = {}
    for number in range(RECORDS + 3):
        metadata[next_key(metadata)] = RunRecord(ulid=f"{number:026d}", fence="", who="").to_text()
    assert len(metadata) == RECORDS
    newest = newest_record(metadata)
    assert newest
    assert int(newest.ulid) == RECORDS + 2
    assert all(key.startswith(marks.RUN) for key in metadata)
    assert min(int(value[:26]) for value in metadata.values()) == 3
