"""Show what happens in an apply as JSON, a line for each event.

schemas/event.schema.json describes it.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from reconciler.canonical.change_hashes import set_sha256
from reconciler.model.apply_event import ApplyEvent, ApplyEventType
from reconciler.model.change import Change
from reconciler.model.plan import AppCreation, Plan
from reconciler.model.report import AppEntry, Entry, Report
from reconciler.render.json import marks_only_json, plan_json
from reconciler.render.redact import clean
from reconciler.render.report import entry_json, log_lines, report_json
from reconciler.render.style import FORMAT_VERSION


def event_json(event: ApplyEvent, *, salt: str, change_hashes: Collection[str] = ()) -> dict[str, Any]:
    """Return the event's document; `change_hashes` are those of its plan."""
    return {
        "format_version": FORMAT_VERSION,
        "type": event.type.value,
        "time": _rfc3339(event.time),
        "address": event.address,
        "run": event.run,
        "data": _data(event, salt, change_hashes),
    }


def _data(event: ApplyEvent, salt: str, changes: Collection[str]) -> dict[str, Any]:
    match event.about:
        case Plan():
            return plan_json(event.about, plan_sha256=set_sha256(changes), salt=salt, change_hashes=changes)
        case AppCreation():
            return {"app": clean(event.about.name), "org": clean(event.about.org)}
        case AppEntry():
            return {"app": clean(event.about.app)}
        case Change():
            return _change(event.about)
        case Report():
            return report_json(event.about)
        case Entry():
            if event.type is ApplyEventType.LOG:
                lines = log_lines(event.about.unhealthy) if event.about.unhealthy else []
                return {"machine": event.about.machine_id, "lines": lines}
            return entry_json(event.about)


def _change(change: Change) -> dict[str, Any]:
    return {
        "app": change.slot.app,
        "pool": change.slot.pool,
        "slot": change.slot.name,
        "action": change.action.value,
        **marks_only_json(change),
        "reason": clean(change.reason),
        "machine": change.machine_id,
    }


def _rfc3339(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
