"""Ownership is read from marks, and only from marks that fit the machine that carries them."""

import pickle

import pytest

from reconciler.model import marks
from reconciler.model.marks import DueWrites, MetadataWrite

OWNED = {marks.STACK: "on-demand", marks.POOL: "get-release", marks.SLOT: "get-release-iad-0"}


def test_a_marked_machine_is_owned() -> None:
    assert marks.is_owned(OWNED, stack="on-demand", name="get-release-iad-0")


@pytest.mark.parametrize(
    ("metadata", "stack", "name"),
    [
        ({}, "on-demand", "get-release-iad-0"),
        (OWNED, "another", "get-release-iad-0"),
        (OWNED, "on-demand", "a-clone"),
        ({**OWNED, marks.SLOT: ""}, "on-demand", "get-release-iad-0"),
        ({marks.STACK: "on-demand", marks.SLOT: "x"}, "on-demand", "x"),
    ],
)
def test_anything_else_is_foreign(metadata: dict[str, str], stack: str, name: str) -> None:
    assert not marks.is_owned(metadata, stack=stack, name=name)


def test_other_peoples_keys_are_kept_apart() -> None:
    assert marks.without_marks({**OWNED, "team": "web"}) == {"team": "web"}


def test_writes_that_are_due_are_found_once_and_are_a_value_like_a_tuple() -> None:
    found = []

    def find() -> tuple[MetadataWrite, ...]:
        found.append(1)
        return (MetadataWrite(app="a", name="m", machine_id="1", marks={}),)

    due, same = DueWrites(find), find()
    assert len(found) == 1
    assert (len(due), due[0], due[:1], tuple(due)) == (1, same[0], same, same)
    assert due == same == due == DueWrites(lambda: same)
    assert due != DueWrites(tuple)
    assert due != ()
    assert repr(due) == repr(same)
    assert pickle.loads(pickle.dumps(due)) == due
    assert len(found) == 2
    assert hash(DueWrites(tuple)) == hash(())


@pytest.mark.parametrize(
    ("key", "is_record"),
    [("r0", True), ("r15", True), ("e7", True), ("attempt", True), ("k_ab", True), ("f_1_2", True)]
    + [(key, False) for key in ("rev", "r", "attempts", "kind", "keys", "fields", "slot", "env", "applied")],
)
def test_records_are_the_marks_of_runs_and_creates(key: str, is_record: bool) -> None:
    assert marks.is_record(marks.PREFIX + key) is is_record
    assert not marks.is_record(key)
