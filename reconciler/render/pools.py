"""Sum up a plan by pool, and name what it destroys.

A reviewer looks for that first.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from reconciler.model.change import Action, Change
from reconciler.model.plan import Plan
from reconciler.render.changes import Group, grouped

DEFERRED: Final = "deferred"
_COLUMNS: Final = (
    Action.DESTROY.value,
    Action.REPLACE.value,
    Action.CREATE.value,
    Action.UPDATE.value,
    Action.ADOPT.value,
    Action.START.value,
    Action.RELEASE.value,
    Action.SETTINGS.value,
    DEFERRED,
)
_NAMED: Final = 12
_RANK: Final = {Action.DESTROY: 0, Action.REPLACE: 1}


class PoolCounts(Struct, frozen=True):
    """How many changes of each kind one pool has; deferred ones count as such only."""

    app: str
    pool: str
    counts: Counter[str]


def is_loss(change: Change) -> bool:
    """Return whether the change ends a machine that is there."""
    return change.action in _RANK


def by_pool(plan: Plan) -> tuple[list[str], list[PoolCounts]]:
    """Return the kinds of changes that the plan has, and the counts of each pool.

    Pools that lose machines stand first, then they are in the plan's order.
    """
    counts: dict[tuple[str, str], Counter[str]] = {}
    losing: set[tuple[str, str]] = set()
    for change in plan.effective:
        key = change.slot.app, change.slot.pool
        counts.setdefault(key, Counter())[DEFERRED if change.deferred else change.action.value] += 1
        if is_loss(change):
            losing.add(key)
    rows = [PoolCounts(app, pool, found) for (app, pool), found in counts.items()]
    rows.sort(key=lambda row: (row.app, row.pool) not in losing)
    return [column for column in _COLUMNS if any(row.counts[column] for row in rows)], rows


def worst_first(plan: Plan) -> list[Group]:
    """Group the plan's changes: destroys, then replacements, then the others."""
    return sorted(grouped(plan), key=lambda group: _RANK.get(group.first.action, len(_RANK)))


def losses(groups: Iterable[Group]) -> tuple[list[str], list[int]]:
    """Return a line for each group that is lost, and how many machines each has."""
    lost = [group for group in groups if is_loss(group.first)]
    lines = [
        f"{group.word} {group.first.slot.app}/{group.first.slot.pool}: {first_of(group.named, _NAMED)}"
        + (f" ({group.why})" if group.why else "")
        for group in lost
    ]
    return lines, [len(group.changes) for group in lost]


def is_told_by_loss(group: Group) -> bool:
    """Return whether the group's line among the losses tells all of it."""
    return group.first.action is Action.DESTROY and not group.first.fields and len(group.named) <= _NAMED


def loss_words(plan: Plan) -> str | None:
    """Name what is destroyed or replaced; None if the plan does neither."""
    groups = worst_first(plan)
    parts = []
    for action, verb in ((Action.DESTROY, "Destroys"), (Action.REPLACE, "Replaces")):
        mine = [group for group in groups if group.first.action is action]
        if mine:
            count = sum(len(group.changes) for group in mine)
            waiting = sum(len(group.changes) for group in mine if group.first.deferred)
            later = f" ({'' if waiting == count else f'{waiting} of them '}deferred)" if waiting else ""
            names = [(f"{group.first.slot.app}/{name}", many) for group in mine for name, many in group.named]
            parts.append(f"{verb} {count}{later}: {first_of(names, _NAMED)}.")
    return " ".join(parts) or None


def first_of(named: Sequence[tuple[str, int]], limit: int, *, joint: str = ", ") -> str:
    """Join the first names, and count how many slots the others stand for."""
    more = sum(count for _name, count in named[limit:])
    return joint.join(name for name, _count in named[:limit]) + (f" and {more} more" if more else "")
