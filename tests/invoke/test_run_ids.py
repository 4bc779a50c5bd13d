"""What is enough of a run's id to name it."""

import pytest

from reconciler.model.run_ids import is_named, may_be_run, short_ids

ONE, TWO, OTHER = (
    "work-iad-0/01KDVDPHK60MBVFK2C4QJDY3TX",
    "work-iad-0/01KDVDPHK5ZZZZZZZZZZZZZZZZ",
    "work-iad-1/01KDVDPHK7",
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (ONE, {ONE}),
        ("work-iad-0/01KDVDPHK6", {ONE}),
        ("work-iad-0/01kdvdphk6", {ONE}),
        ("01KDVDPHK60", {ONE}),
        ("work-iad-0/01KDVD", {ONE, TWO}),
        ("work-iad-0/", {ONE, TWO}),
        ("01KDVD", {ONE, TWO, OTHER}),
        ("work-iad/01KDVD", set()),
        ("work-iad-0/DVDP", set()),
    ],
)
def test_an_id_is_named_by_its_beginning(name: str, expected: set[str]) -> None:
    assert {run_id for run_id in (ONE, TWO, OTHER) if is_named(run_id, name)} == expected


@pytest.mark.parametrize(("name", "expected"), [("01KDVD", True), ("work", False), ("w/0", True), ("01I", False)])
def test_what_may_be_a_run_is_no_word(name: str, expected: bool) -> None:
    assert may_be_run(name) is expected


def test_ids_are_as_short_as_they_can_be_and_not_shorter_than_a_second() -> None:
    assert short_ids([ONE, TWO, OTHER]) == {
        ONE: "work-iad-0/01KDVDPHK6",
        TWO: "work-iad-0/01KDVDPHK5",
        OTHER: "work-iad-1/01KDVDPH",
    }
