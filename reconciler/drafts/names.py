"""Name apps, organisations and pools as a spec can.

Names have small letters, digits and dashes.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

_APP: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_POOL: Final = re.compile(r"[a-z][a-z0-9-]{0,40}", re.ASCII)
_SLUG: Final = re.compile(r"[a-z0-9-]+", re.ASCII)
LONGEST_POOL: Final = 41


def is_app_name(text: str) -> bool:
    """Return whether an app, and a stack, can be called this."""
    return _APP.fullmatch(text) is not None


def is_org_slug(text: str) -> bool:
    """Return whether an organisation can have this slug."""
    return _SLUG.fullmatch(text) is not None


def app_name_like(text: str) -> str | None:
    """Return a name for an app that is made of this text; None if it has no letters."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].rstrip("-")
    return name or None


def pool_names(groups: Iterable[str]) -> dict[str, str]:
    """Return the pool of each process group.

    It has small letters, and dashes for other signs. A group keeps a name that a pool can have. One that would have the
    pool of another group gets a number.
    """
    every = tuple(groups)
    used = {group for group in every if _POOL.fullmatch(group)}
    return {group: group if group in used else _free_name(group, used) for group in every}


def _free_name(group: str, used: set[str]) -> str:
    """Return a name that no pool has yet, and take it."""
    found = free_pool_name(pool_name_like(group), used)
    used.add(found)
    return found


def pool_name_like(text: str) -> str:
    """Return a name for a pool that is made of this text."""
    name = re.sub(r"[^a-z0-9-]", "-", text.lower())[:LONGEST_POOL]
    return name if _POOL.fullmatch(name) else f"group-{name.lstrip('-')}"[:LONGEST_POOL]


def free_pool_name(name: str, used: Collection[str]) -> str:
    """Return the name, with a number if it is used."""
    endings = ("", *(f"-{number}" for number in range(2, len(used) + 3)))
    names = (name[: LONGEST_POOL - len(ending)] + ending for ending in endings)
    return next(one for one in names if one not in used)
