"""Warn of services that are as declared and do not stay up: a line a pool. Pure."""

from collections.abc import Iterable

from reconciler.model.plan import Action, Change


def crash_warnings(changes: Iterable[Change]) -> list[str]:
    """Name the first such machine of each pool, count the others, say what to do."""
    pools: dict[str, list[Change]] = {}
    for change in changes:
        if change.action is Action.WATCH:
            pools.setdefault(change.slot.pool, []).append(change)
    return [_words(pool, watched) for pool, watched in pools.items()]


def _words(pool: str, watched: list[Change]) -> str:
    first, count = watched[0], len(watched) - 1
    others = f" (likewise {count} more of its pool)" if count else ""
    return (
        f"{first.address}: {first.reason}{others}; it is as declared: `reconciler logs {pool}` shows why it ends,"
        " and an apply fails until it stays up"
    )
