"""Ownership is read from marks, and only from marks that fit the machine that carries them."""

import pytest

from reconciler.model import marks

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
