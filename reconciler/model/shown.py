"""Show a value in a debugger or a log: which one it is, in one line."""

import enum
from typing import Any


def shown(value: object, **members: Any) -> str:
    """Return a repr with these members, without those that are empty.

    Names of an enum are shown as the strings that they are.
    """
    plain = {name: one.value if isinstance(one, enum.Enum) else one for name, one in members.items()}
    told = (f"{name}={one!r}" for name, one in plain.items() if one is not None and one not in ("", (), []))
    return f"{type(value).__name__}({', '.join(told)})"
