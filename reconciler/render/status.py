"""Show the state of a stack as tables of pools and machines, and as JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec.structs import asdict

from reconciler.model.counted import counted
from reconciler.model.revision import Revision
from reconciler.model.scope import Scope
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.slot_status import SlotStatus
from reconciler.render.pool_status import NOT_OBSERVED, pool_json, pools_of, pools_table
from reconciler.render.redact import clean
from reconciler.render.revision import revision_json
from reconciler.render.scope import scope_line, scope_members, selection_json, url_lines
from reconciler.render.spans import ago
from reconciler.render.style import FORMAT_VERSION, SYMBOL_OF_FOREIGN, paint, wrapped
from reconciler.render.table import Column, Line, table

_COLUMNS: Final = (
    Column("APP", 2),
    Column("POOL", 4),
    Column("SLOT"),
    Column("MACHINE", 3),
    Column("STATE"),
    Column("SINCE", 1),
    Column("LAST RUN"),
    Column(""),
)
_OUTPUT: Final = 80  # characters of what a check said
_STATE_SYMBOLS: Final = {"started": "+", "missing": "-", "failed": "-", "unreachable": "!"}


def status_text(
    rows: Iterable[SlotStatus],
    *,
    now: datetime,
    color: bool = False,
    width: int | None = None,
    shows_machines: bool = False,
    scope: Scope | None = None,
    applied: Revision | None = None,
    urls: Mapping[str, tuple[str, ...]] | None = None,
) -> str:
    """Show where the stack is, and a table of its pools.

    With `shows_machines` another one of its machines follows. A narrow terminal gets no less important columns; without
    a `width` no line is wrapped. `applied` is the revision that was applied whole.
    """
    rows = list(rows)
    lines = [paint(line, "head", color=color) for line in wrapped(scope_line(scope), width, hanging=2)] if scope else []
    lines += _pools(rows, now, width, color, how_seen="" if shows_machines else " (-v shows which)")
    if rows and shows_machines:
        lines += ["", *machines_table(rows, now=now, width=width, color=color)]
    if applied:
        lines += wrapped(f"Applied: {applied.words}", width, hanging=2)
    for line in url_lines(urls or {}):
        lines += wrapped(line, width, hanging=2)
    return "\n".join(lines)


def _pools(rows: Sequence[SlotStatus], now: datetime, width: int | None, color: bool, *, how_seen: str) -> list[str]:
    if not rows:
        return ["No machines, and none declared."]
    pools = pools_of(rows)
    lines = pools_table(pools, now=now, width=width, color=color) if pools else []
    doubts = Counter(row.state if row.state in NOT_OBSERVED else "" for row in rows if not row.pool)
    for state, count in sorted(doubts.items()):
        noun = "machine" if count == 1 else "machines"
        words = f"{count} {noun} {state}" if state else f"{count} foreign {noun}, left alone"
        line = f"{SYMBOL_OF_FOREIGN} {words}{how_seen}"
        lines += [paint(text, SYMBOL_OF_FOREIGN, color=color) for text in wrapped(line, width, hanging=2)]
    return lines


def machines_table(
    rows: Sequence[SlotStatus], *, now: datetime, width: int | None = None, color: bool = False
) -> list[str]:
    """Return a table with a line for each machine, and for each slot without one."""
    lines = [Line(_cells(row, now), _STATE_SYMBOLS.get(row.state, "")) for row in rows]
    return table(_COLUMNS, lines, width=width, color=color)


def status_json(
    rows: Iterable[SlotStatus],
    failures: Iterable[str] = (),
    urls: Mapping[str, tuple[str, ...]] | None = None,
    applied: Revision | None = None,
    selection: Selection = WHOLE,
    *,
    scope: Scope | None = None,
) -> dict[str, Any]:
    """Return every row, with times in ISO 8601.

    `failures` says what could not be read, `urls` where apps are called, `applied` which revision was applied whole,
    `selection` which part of the stack is shown, `scope` where the stack is.
    """

    rows = list(rows)

    def spelled(row: SlotStatus) -> dict[str, Any]:
        values = asdict(row)
        del values["failing"]
        values["declared"] = values.pop("is_declared")
        values["differs"] = row.differs or None
        values["lock"] = clean(row.lock, _OUTPUT) if row.lock else None
        values["failing_checks"] = [
            {"name": clean(check.name), "status": clean(check.status), "output": clean(check.output, _OUTPUT)}
            for check in row.failing
        ]
        return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in values.items()}

    return {
        "format_version": FORMAT_VERSION,
        **({"stack": scope.stack} if scope else {}),
        **scope_members(scope),
        "selection": selection_json(selection),
        "pools": [pool_json(pool) for pool in pools_of(rows)],
        "slots": [spelled(row) for row in rows],
        "applied_revision": revision_json(applied),
        "failures": [clean(failure) for failure in failures],
        "urls": {clean(app): [*map(clean, found)] for app, found in (urls or {}).items()},
    }


def _cells(row: SlotStatus, now: datetime) -> tuple[str, ...]:
    last = row.last_outcome or ""
    if last and row.last_ended:
        last = f"{last}, {ago(row.last_ended, now)}"
    return (
        clean(row.app),
        clean(row.pool, 63),
        clean(row.slot, 63),
        row.machine_id or "",
        row.state,
        ago(row.since, now) if row.since else "",
        clean(last, 60),
        "; ".join(_remarks(row)),
    )


def _remarks(row: SlotStatus) -> Iterator[str]:
    """Return remarks on a machine: its kind, lease, restarts and failing checks."""
    if row.note:
        yield clean(row.note, 60)
    if row.lock:
        yield clean(row.lock, _OUTPUT)
    if row.restarts:
        yield counted(row.restarts, "restart")
    for check in row.failing:
        said = f" ({check.output})" if check.output else ""
        yield clean(f"check {check.name} {check.status}{said}", _OUTPUT)
