"""A value that must not be shown, and what is shown in its place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A token or a nonce. It prints masked; only what sends it calls `reveal`."""

    _value: str

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


class Masked(str):
    """What is shown in a value's place: a digest that tells whether it changed.

    Masked again, it stays.
    """

    __slots__ = ()
