"""A value that must not be shown, and what is shown in its place."""

from typing import Any

from reconciler.hidden import HidesFields


class Secret(HidesFields, frozen=True):
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


def repr_of(value: Any, *, is_secret: bool) -> str:
    """Return the repr of a value of a config, without secrets.

    Of a map only the keys are shown: any member of it may be secret.
    """
    match value:
        case None | Masked():
            return repr(value)
        case _ if is_secret:
            return "***"
        case dict():
            return f"{{{', '.join(repr(key) for key in value)}}}"
        case list():
            return f"[{', '.join(repr_of(member, is_secret=False) for member in value)}]"
        case _:
            return repr(value)
