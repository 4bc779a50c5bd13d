"""Show the state of a stack as a table and as JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from reconciler.model.revision import Revision
from reconciler.model.scope import Scope
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.slot_status import SlotStatus
from reconciler.render.redact import clean
from reconciler.render.revision import revision_json
from reconciler.render.scope import scope_members, selection_json
from reconciler.render.style import FORMAT_VERSION, paint

_HEADINGS: Final = ("APP", "POOL", "SLOT", "MACHINE", "STATE", "SINCE", "LAST RUN", "")
_NARROW: Final = 80
_OUTPUT: Final = 80  # characters of what a check said
_STATE_SYMBOLS: Final = {"started": "+", "missing": "-", "failed": "-", "unreachable": "!"}
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"))


def status_text(rows: Iterable[SlotStatus], *, now: datetime, color: bool = False, width: int = 100) -> str:
    """Show a table; on a narrow terminal without the less important columns."""
    rows = list(rows)
    if not rows:
        return "No machines, and none declared."
    cells = [_HEADINGS, *(_cells(row, now) for row in rows)]
    dropped = {0, 3} if width < _NARROW else set[int]()
    columns = [index for index in range(len(_HEADINGS)) if index not in dropped and any(line[index] for line in cells)]
    widths = {index: max(len(line[index]) for line in cells) for index in columns}
    lines = []
    for position, line in enumerate(cells):
        text = "  ".join(line[index].ljust(widths[index]) for index in columns).rstrip()
        symbol = _STATE_SYMBOLS.get(rows[position - 1].state, "") if position else ""
        lines.append(paint(text, symbol, color=color))
    return "\n".join(lines)


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

    def spelled(row: SlotStatus) -> dict[str, Any]:
        values = asdict(row)
        del values["failing"]
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
        "slots": [spelled(row) for row in rows],
        "applied_revision": revision_json(applied),
        "failures": [clean(failure) for failure in failures],
        "urls": {clean(app): [*map(clean, found)] for app, found in (urls or {}).items()},
    }


def _cells(row: SlotStatus, now: datetime) -> Sequence[str]:
    last = row.last_outcome or ""
    if last and row.last_ended:
        last = f"{last}, {_ago(row.last_ended, now)}"
    return (
        row.app,
        row.pool,
        clean(row.slot, 63),
        row.machine_id or "",
        row.state,
        _ago(row.since, now) if row.since else "",
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
        yield f"{row.restarts} restart{'' if row.restarts == 1 else 's'}"
    for check in row.failing:
        said = f" ({check.output})" if check.output else ""
        yield clean(f"check {check.name} {check.status}{said}", _OUTPUT)


def _ago(then: datetime, now: datetime) -> str:
    seconds = max(0, int((now - then).total_seconds()))
    for unit_s, letter in _UNITS:
        if seconds >= unit_s:
            return f"{seconds // unit_s}{letter} ago"
    return f"{seconds}s ago"
