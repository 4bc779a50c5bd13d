"""How runs ended, as marks: what is written is read, and what is none is passed over."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model import marks
from reconciler.model.machine import Exit
from reconciler.slots.run_ends import RunEnd, kept_ends, marks_to_keep

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def end(number: int, slot: str = "work-iad-1", exited: Exit | None = None, *, was_late: bool = False) -> RunEnd:
    return RunEnd(
        slot=slot,
        machine_id="148ed123456789",
        id=f"{number:026}",
        exit=exited or Exit(code=number % 256),
        started_at=NOON + timedelta(minutes=number),
        ended_at=NOON + timedelta(minutes=number, seconds=30),
        was_late=was_late,
    )


@pytest.mark.parametrize(
    "exited", [Exit(code=0), Exit(code=137, signal=9, oom_killed=True), Exit(code=0, signal=2, requested_stop=True)]
)
@pytest.mark.parametrize("was_late", [True, False])
def test_an_end_survives_its_text(exited: Exit, was_late: bool) -> None:
    one = end(1, exited=exited, was_late=was_late)
    assert kept_ends(marks_to_keep({}, [one])) == [one]


def test_marks_are_short_and_few_and_hold_what_is_newest() -> None:
    metadata: dict[str, str] = {}
    for number in range(100):
        metadata |= marks_to_keep(metadata, [end(number, slot=f"{'x' * 50}-iad-{number}")])
    assert len(metadata) == 8
    assert all(len(value) <= marks.MAX_VALUE_BYTES and value.isascii() for value in metadata.values())
    assert sorted(one.slot[-2:] for one in kept_ends(metadata)) == [str(number) for number in range(92, 100)]


def test_several_runs_of_a_machine_share_a_mark_and_none_is_kept_twice() -> None:
    ends = [end(number) for number in range(3)]
    metadata = marks_to_keep({}, ends)
    assert len(metadata) == 1
    assert marks_to_keep(metadata, ends) == {}


def test_without_room_nothing_is_kept() -> None:
    assert marks_to_keep({"note": "n" * 6000}, [end(1)]) == {}


@pytest.mark.parametrize(
    "value", ["", ";", "a;b;", "a;b;c", "a;b;id:0.0:x:1", "a;b;id:0.0:1:-1", "a;b;id::1:1", ";;,,,"]
)
def test_what_is_no_end_is_none(value: str) -> None:
    assert kept_ends({f"{marks.ENDS}0": value}) == []
