"""Ids of runs, `<slot>/<ULID>`, and what is enough of one to name a run.

Any beginning of an id is, and of its ULID alone, if no other run's begins so.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

_ULID_LENGTH: Final = 26
_ULID_BEGINNING: Final = r"(?i)[0-7][0-9A-HJKMNP-TV-Z]{3,25}"
_TIME: Final = 10  # letters of a ULID that are its time
_SHORTEST: Final = 8  # letters of a ULID: runs of a slot that are a second apart differ in them


def is_whole(name: str) -> bool:
    """Return whether the name is a whole id."""
    return len(name.partition("/")[2]) >= _ULID_LENGTH


def may_be_run(name: str) -> bool:
    """Return whether the name may be (the beginning of) an id, or of a ULID."""
    return "/" in name or bool(re.fullmatch(_ULID_BEGINNING, name))


def is_short(name: str) -> bool:
    """Return whether so little of an id may well be the beginning of another one."""
    return len(name.rpartition("/")[2]) < _SHORTEST


def is_named(run_id: str, name: str) -> bool:
    """Return whether the id, or its ULID, begins so; small letters count as capitals."""
    slot, slash, ulid = name.rpartition("/")
    own_slot, _, own_ulid = run_id.rpartition("/")
    return (slot == own_slot or not slash) and own_ulid.upper().startswith(ulid.upper())


def short_id(run_id: str) -> str:
    """Return the beginning of an id with its time, which no other run has."""
    return run_id[: len(run_id.rpartition("/")[0]) + 1 + _TIME]


def short_ids(run_ids: Collection[str]) -> Mapping[str, str]:
    """Return the shortest beginning of each id that names none of the others."""
    slots: dict[str, list[str]] = {}
    for run_id in run_ids:
        slots.setdefault(run_id.rpartition("/")[0], []).append(run_id)
    return {run_id: short for mine in slots.values() for run_id, short in _shortened(sorted(set(mine)))}


def _shortened(run_ids: list[str]) -> Iterable[tuple[str, str]]:
    """Yield the sorted ids of one slot with their beginnings."""
    for position, run_id in enumerate(run_ids):
        near = run_ids[max(0, position - 1) : position] + run_ids[position + 1 : position + 2]
        shared = max((_common(run_id, other) for other in near), default=0)
        yield run_id, run_id[: max(shared + 1, len(run_id.rpartition("/")[0]) + 1 + _SHORTEST)]


def _common(one: str, other: str) -> int:
    """Return how many letters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (mine, its) in pairs if mine != its), min(len(one), len(other)))
