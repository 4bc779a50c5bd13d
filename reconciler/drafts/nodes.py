"""A spec that is still to be written: maps in order, with comments at any place.

Plain Python values are what they are: a `str` is this text, to the letter, also where it has a dollar sign. Only a
`Template` has variables. `write.py` writes it all so that `spec/load.py` reads the same values.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct, field


class Template(Struct, frozen=True):
    """Text of a spec with `${NAME}` in it, taken as it is written."""

    text: str


class Comment(Struct, frozen=True):
    """Words for a reader, on lines of their own.

    They are wrapped; an empty one is an empty line.
    """

    text: str


class Member(Struct, frozen=True, kw_only=True):
    """A key and its value; `beside` is a comment on the key's line."""

    key: str
    value: "Draft"
    beside: str | None = None
    is_disabled: bool = False  # written as a comment, for a reader who will need it


class DraftMap(Struct, kw_only=True):
    """A map in the order in which it is filled.

    With `is_flow` it is written on one line, `{a: 1}`, if it fits and has no comments.
    """

    parts: list[Member | Comment] = field(default_factory=list)
    is_flow: bool = False

    def put(self, key: str, value: "Draft", *, beside: str | None = None) -> None:
        """Add a member. The key must not be there yet."""
        self.parts.append(Member(key=key, value=value, beside=beside))

    def disable(self, key: str, value: "Draft") -> None:
        """Add a member that is a comment."""
        self.parts.append(Member(key=key, value=value, is_disabled=True))

    def say(self, text: str) -> None:
        """Add a comment."""
        self.parts.append(Comment(text))

    def members(self) -> Iterator[Member]:
        """Yield the members that are no comments."""
        return (part for part in self.parts if isinstance(part, Member) and not part.is_disabled)

    def __contains__(self, key: str) -> bool:
        return any(one.key == key for one in self.members())


Draft: TypeAlias = "str | int | float | bool | Template | Sequence[Draft | Comment] | DraftMap | None"


def flow(members: Mapping[str, Any]) -> DraftMap:
    """Return a map, with all maps in it, that is written on one line where it fits."""
    return DraftMap(parts=[Member(key=key, value=_flowing(value)) for key, value in members.items()], is_flow=True)


def block(members: Mapping[str, Any]) -> DraftMap:
    """Return a map with a line for each member.

    What is below it is written on one line where it fits.
    """
    return DraftMap(parts=[Member(key=key, value=_flowing(value)) for key, value in members.items()])


def _flowing(value: Any) -> "Draft":
    if isinstance(value, Mapping):
        return flow(value)
    if isinstance(value, list | tuple):
        return [_flowing(item) for item in value]
    found: Draft = value
    return found
