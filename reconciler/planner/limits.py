"""What stops a plan as a whole, before its first write."""

from collections.abc import Container, Iterable
from typing import Final

from msgspec import Struct, field

from reconciler.model import marks
from reconciler.model.change import Action, Change
from reconciler.model.machine import Machine
from reconciler.model.plan import DeletionLimit
from reconciler.model.revision import Revision, parse_revision, parse_whole

_COUNT: Final = 3
_SHARE: Final = 3  # a third
_LOSES: Final = frozenset({Action.DESTROY, Action.REPLACE})


def deletion_limit(changes: Iterable[Change], owned_count: int, allow_destroy: int | None) -> DeletionLimit | None:
    """Return what is destroyed if that is above the deletion limit, else None.

    `allow_destroy` allows that many.
    """
    losses = _losses(changes)
    lost = len(losses)
    if lost <= _COUNT or lost * _SHARE <= owned_count:
        return None
    replaces = sum(change.action is Action.REPLACE for change in losses)
    return DeletionLimit(destroys=lost, of=owned_count, replaces=replaces, is_allowed=lost <= (allow_destroy or 0))


class AppliedRevisions(Struct):
    """The newest revisions of each kind that machines tell of, by kind.

    `highest` are those of the stack's anchors, `written` those of all others. `finished` are those of the anchors that
    were applied whole.
    """

    highest: dict[str, Revision] = field(default_factory=dict)
    written: dict[str, Revision] = field(default_factory=dict)
    finished: dict[str, Revision] = field(default_factory=dict)

    def add(self, owned: Iterable[Machine]) -> None:
        """Add what these machines tell."""
        for machine in owned:
            metadata = machine.metadata
            highest = metadata.get(marks.HIGHEST, "")
            for applied, found in (
                (parse_revision(highest), self.highest),
                (parse_whole(highest), self.finished),
                (parse_revision(metadata.get(marks.REVISION, "")), self.written),
            ):
                if applied and (applied.kind not in found or applied.is_newer_than(found[applied.kind])):
                    found[applied.kind] = applied

    @property
    def whole(self) -> Revision | None:
        """Return the newest revision that was applied whole; None if that is not known.

        A stack without an anchor only tells which revision was applied to some machine.
        """
        found = self.finished if self.highest else self.written
        return found.get("g") or found.get("n")

    @property
    def is_cut_off(self) -> bool:
        """Return whether a revision was begun that is not known to be applied whole."""
        begun = [*self.highest.values(), *self.written.values()]
        whole = self.finished
        return any(one.kind not in whole or one.is_newer_than(whole[one.kind]) for one in begun)

    def unlike(self, revision: Revision | None) -> str | None:
        """Say that the stack only has revisions of the other kind; None if not.

        What was applied last decides, and every apply with a revision leaves it as the highest.
        """
        told = self.highest or self.written
        if revision is None or not told or revision.kind in told:
            return None
        applied = next(iter(told.values()))
        return (
            f"{applied.words} was applied, and this is {revision.words}: a number and a commit do not compare,"
            " so nothing tells whether this is the older one"
        )


def newer_revision(owned: Iterable[Machine], revision: Revision | None) -> Revision | None:
    """Return a newer revision that the stack is at; None if it is at none."""
    if revision is None:
        return None
    for machine in sorted(owned, key=lambda machine: (machine.app, machine.name)):
        for key in (marks.HIGHEST, marks.REVISION):
            applied = parse_revision(machine.metadata.get(key, ""))
            if applied and applied.is_newer_than(revision):
                return applied
    return None


def protected_pools(changes: Iterable[Change], declared: Container[tuple[str, str]]) -> list[str]:
    """Say which pools are protected and would lose machines, and how to lift that.

    The spec lifts it, or the pools' marks if the spec does not have them. `declared` are the spec's pools, by app and
    name.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for change in _losses(changes):
        if change.is_protected:
            names.setdefault((change.slot.app, change.slot.pool), []).append(change.slot.name)
    return [
        f"{'/'.join(place)} is protected, and this would destroy {', '.join(slots)}; if that is meant, "
        + ("set `protect: false`" if place in declared else "declare it again, with `protect: false` and `count: 0`")
        for place, slots in names.items()
    ]


def _losses(changes: Iterable[Change]) -> list[Change]:
    return [change for change in changes if change.action in _LOSES and not change.is_duplicate]
