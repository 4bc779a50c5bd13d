"""Values of which not everything is shown: bodies, files, environments, tokens.

What a `Struct` shows of itself, in its repr and to rich, is every field. This stands below all else, for the model and
the engine alike.
"""

from typing import Any, ClassVar

from msgspec import Struct


class HidesFields(Struct, frozen=True):
    """A value whose repr leaves out the fields that it names in `_hidden`.

    A class with a `__repr__` of its own is shown by that alone.
    """

    _hidden: ClassVar[frozenset[str]] = frozenset()

    def __repr__(self) -> str:
        told = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name not in self._hidden)
        return f"{type(self).__qualname__}({', '.join(told)})"

    def __rich_repr__(self) -> Any:
        """Return None: rich then shows the repr."""
        return None
