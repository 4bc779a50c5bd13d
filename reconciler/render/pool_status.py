"""Sum up the state of a stack by pool: a line each, for people and programs."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from reconciler.model.counted import counted
from reconciler.model.machine import MachineState
from reconciler.model.slot_status import SlotStatus
from reconciler.render.redact import clean
from reconciler.render.spans import ago
from reconciler.render.table import Column, Line, table

MISSING: Final = "missing"
_COLUMNS: Final = (Column("APP", 1), Column("POOL"), Column("KIND", 3), Column("READY"), Column("RUNNING", 2))
_AT_REST: Final = frozenset(state.value for state in MachineState if state.is_resting) - {MachineState.FAILED.value}
NOT_OBSERVED: Final = frozenset({"unreachable", "not understood"})
_NOT_THERE: Final = NOT_OBSERVED | {MISSING, MachineState.FAILED.value}
_DIFFERENCES: Final = {"drift": "changed by someone else", "spec": "differ from the spec"}


class PoolStatus(Struct, frozen=True):
    """The machines of one pool. A machine that is not the stack's is in none."""

    app: str
    pool: str
    kind: str
    rows: tuple[SlotStatus, ...]

    @property
    def declared(self) -> int:
        return sum(row.is_declared for row in self.rows)

    @property
    def ready(self) -> int:
        """Count the declared slots that a run can have; of a service those that serve."""
        return sum(row.is_declared and self._is_ready(row) for row in self.rows)

    @property
    def running(self) -> int:
        """Count the machines that run, or are about to or to end."""
        return sum(row.state not in _AT_REST | _NOT_THERE for row in self.rows)

    @property
    def last(self) -> SlotStatus | None:
        """Return the machine whose run ended last."""
        ended = [row for row in self.rows if row.last_ended]
        return max(ended, key=lambda row: (row.last_ended, row.slot), default=None)

    def count(self, state: str) -> int:
        return sum(row.state == state for row in self.rows)

    def differing(self, how: str) -> int:
        return sum(row.differs == how for row in self.rows)

    def _is_ready(self, row: SlotStatus) -> bool:
        if self.kind == "task":
            return row.state in _AT_REST and not row.lock
        return row.state == MachineState.STARTED.value and not row.failing


def pools_of(rows: Iterable[SlotStatus]) -> list[PoolStatus]:
    """Return the pools in the order of their first machine."""
    found: dict[tuple[str, str], list[SlotStatus]] = {}
    for row in rows:
        if row.pool:
            found.setdefault((row.app, row.pool), []).append(row)
    kinds = {key: next((row.kind for row in mine if row.kind), "") for key, mine in found.items()}
    return [PoolStatus(*key, kinds[key], tuple(mine)) for key, mine in found.items()]


def pools_table(pools: list[PoolStatus], *, now: datetime, width: int | None, color: bool) -> list[str]:
    """Return a table with a line for each pool."""
    kinds = {pool.kind for pool in pools}
    last = "LAST RUN" if kinds == {"task"} else "HEALTH" if kinds == {"service"} else "LAST RUN, HEALTH"
    has_apps = len({pool.app for pool in pools}) > 1
    lines = [Line(_cells(pool, now, has_apps=has_apps), _symbol(pool)) for pool in pools]
    return table([*_COLUMNS, Column(last), Column("")], lines, width=width, color=color)


def pool_json(pool: PoolStatus) -> dict[str, Any]:
    """Return the counts of one pool, with its last run."""
    last = pool.last
    return {
        "app": pool.app,
        "pool": pool.pool,
        "kind": pool.kind,
        "declared": pool.declared,
        "ready": pool.ready,
        "running": pool.running,
        "missing": pool.count(MISSING),
        "drifted": pool.differing("drift"),
        "differing": pool.differing("spec"),
        "last_outcome": last.last_outcome if last else None,
        "last_ended": last.last_ended.isoformat() if last and last.last_ended else None,
    }


def _cells(pool: PoolStatus, now: datetime, *, has_apps: bool) -> tuple[str, ...]:
    return (
        clean(pool.app) if has_apps else "",
        clean(pool.pool, 63),
        pool.kind,
        f"{pool.ready}/{pool.declared}",
        str(pool.running),
        _last_run(pool, now) if pool.kind == "task" else _health(pool),
        "; ".join(_remarks(pool)),
    )


def _symbol(pool: PoolStatus) -> str:
    if any(row.state in _NOT_THERE for row in pool.rows):
        return "-"
    if pool.ready < pool.declared and pool.kind == "service":
        return "~"
    return "~" if next(_remarks(pool), None) else "+"


def _last_run(pool: PoolStatus, now: datetime) -> str:
    last = pool.last
    if last is None or last.last_ended is None:
        return ""
    return f"{clean(last.last_outcome or '', 60)}, {ago(last.last_ended, now)}"


def _health(pool: PoolStatus) -> str:
    """Say how a service is.

    Nothing if no machine of it can be seen: the remarks tell that.
    """
    return "; ".join(_ailments(pool)) or ("healthy" if pool.running else "")


def _ailments(pool: PoolStatus) -> Iterator[str]:
    """Say what keeps a service from being healthy."""
    states = Counter(row.state for row in pool.rows)
    yield from (f"{count} {state}" for state, count in sorted(states.items()) if state in _AT_REST)
    if failing := sum(len(row.failing) for row in pool.rows):
        yield "1 check fails" if failing == 1 else f"{failing} checks fail"
    if restarts := sum(row.restarts for row in pool.rows):
        yield counted(restarts, "restart")


def _remarks(pool: PoolStatus) -> Iterator[str]:
    for state in sorted(_NOT_THERE):
        if count := pool.count(state):
            yield f"{count} {state}"
    if locked := sum(bool(row.lock) for row in pool.rows):
        yield f"{locked} locked"
    for how, words in _DIFFERENCES.items():
        if count := pool.differing(how):
            yield f"{count} {words.replace('differ ', 'differs ') if count == 1 else words}"
    if left := sum(not row.is_declared for row in pool.rows):
        yield f"{left} no longer in the spec"
