"""What an apply notes of its plan on machines: the hashes of its changes.

If it is cut off, the set of the plan is rebuilt from these notes and from what is due then, so that the plan's hash is
enough to go on. A note is only a hint: a set counts only if it has the hash that was approved.

The marks are `did0`, `did1` and so on. Each holds 16 digits of the plan's hash, `;`, and the hashes of changes.
"""

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Final

from msgspec import Struct, field

from reconciler.model.marks import DID

_LENGTH: Final = 16
_IN_ONE: Final = 11  # hashes of 16 digits beside the plan's own, in a value of 200 bytes
_MOST: Final = 8  # marks, so that runs and keys have room


class PlanNotes(Struct, frozen=True, kw_only=True):
    """The notes of one plan.

    `own` are the hashes of each change, by its address. `lasting` are those of changes that leave no machine behind
    that could carry them: what is destroyed, started or allocated, and settings. They are noted before the first write.
    """

    plan: str
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lasting: frozenset[str] = frozenset()

    def marks_for(self, address: str, before: Mapping[str, str]) -> dict[str, str]:
        """Return the marks of a machine that a change writes.

        `before` is its metadata: notes of the same plan stay, those of another one go.
        """
        return marks_with(self.plan, before, (*self.own.get(address, ()), *self.lasting))


def plan_mark(plan_sha256: str) -> str:
    """Return what a note calls the plan."""
    return plan_sha256.removeprefix("sha256:")[:_LENGTH]


def marks_with(plan: str, before: Mapping[str, str], hashes: Iterable[str]) -> dict[str, str]:
    """Return the marks that hold the hashes, beside those noted already.

    These are the hashes of this plan in the metadata `before`. What is there keeps its place, so that the marks can be
    written one after the other. What finds no room is left out.
    """
    kept = [noted for noted in _chunks(plan, before) if noted]
    there = {one for chunk in kept for one in chunk}
    flat = [one for chunk in kept for one in chunk] + sorted(set(hashes) - there)
    chunks = [flat[at : at + _IN_ONE] for at in range(0, len(flat), _IN_ONE)][:_MOST]
    return {f"{DID}{number}": f"{plan};{''.join(chunk)}" for number, chunk in enumerate(chunks)}


def noted_in(plan: str, metadata: Mapping[str, str]) -> set[str]:
    """Return the hashes that the metadata holds of this plan."""
    return {one for chunk in _chunks(plan, metadata) for one in chunk}


def is_note(key: str) -> bool:
    """Return whether the metadata key is a note."""
    return key.startswith(DID)


def _chunks(plan: str, metadata: Mapping[str, str]) -> Iterable[list[str]]:
    for number in count():
        value = metadata.get(f"{DID}{number}")
        if value is None:
            return
        owner, _, hashes = value.partition(";")
        if owner == plan:
            yield [hashes[at : at + _LENGTH] for at in range(0, len(hashes), _LENGTH)]
