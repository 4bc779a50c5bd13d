"""A plan as text for people and as JSON for programs. Env values and file contents are masked in both."""

from collections.abc import Iterator
from typing import Any, Final

from reconciler.model.plan import Action, Cause, Change, FieldChange, Plan
from reconciler.render.style import FORMAT_VERSION, SYMBOLS, clean, hidden, masked, paint, shown

_CAUSES: Final = {Cause.SPEC: "", Cause.DRIFT: "  # changed by someone else"}
SYMBOLS_OF_DEFERRED: Final = "="
_WORDS: Final = {
    Action.CREATE: "create",
    Action.UPDATE: "update",
    Action.REPLACE: "replace",
    Action.DESTROY: "destroy",
    Action.ADOPT: "adopt",
    Action.START: "start",
}


def plan_text(plan: Plan, *, color: bool = False, width: int = 100, salt: str) -> str:
    """The changes, alike ones of a pool together, then what is foreign, warnings, what blocks, and one closing line."""
    lines = [*_app_lines(plan, color), *_change_lines(plan, color, salt), *_foreign_lines(plan, color)]
    lines += [f"Warning: {clean(warning)}" for warning in plan.warnings]
    lines += [paint(f"Blocked: {clean(reason)}", "error", color=color) for reason in plan.blocked]
    if lines:
        lines.append("")
    lines.append(closing_line(plan))
    return "\n".join(line if color or len(line) <= width * 4 else line[: width * 4] for line in lines)


def plan_json(plan: Plan, *, plan_sha256: str | None, salt: str) -> dict[str, Any]:
    """The whole plan; unchanged slots are only counted."""
    return {
        "format_version": FORMAT_VERSION,
        "plan_sha256": plan_sha256,
        "stack": plan.stack,
        "has_changes": plan.has_changes,
        "observed_at": plan.observed_at.isoformat() if plan.observed_at else None,
        "counts": dict(plan.counts()),
        "apps": [{"name": app.name, "org": app.org, "action": "create"} for app in plan.apps],
        "changes": [_change_json(change, salt) for change in plan.effective],
        "foreign": [
            {
                "app": machine.app,
                "machine": machine.id,
                "name": clean(machine.name),
                "state": machine.state.value,
                "reason": clean(machine.reason),
            }
            for machine in plan.foreign
        ],
        "warnings": [clean(warning) for warning in plan.warnings],
        "blocked": [clean(reason) for reason in plan.blocked],
    }


def _app_lines(plan: Plan, color: bool) -> Iterator[str]:
    for app in plan.apps:
        yield paint(f"+ create app {app.name} (org {app.org})", "+", color=color)


def _change_lines(plan: Plan, color: bool, salt: str) -> Iterator[str]:
    for group in grouped(plan.effective):
        first = group[0]
        symbol = SYMBOLS_OF_DEFERRED if first.deferred else SYMBOLS[first.action]
        slots = ", ".join(change.slot.name + (f" [{change.machine_id}]" if change.is_twin else "") for change in group)
        text = f"{symbol} {word_of(first)} {first.slot.app}: {slots}"
        yield paint(text, symbol, color=color) + f"  ({why_of(first)})"
        if first.runs_at_once:
            yield f"      its command is run at once ({_why_at_once(first)})"
        for field in first.fields:
            yield f"      {_field_line(field, salt)}"


def word_of(change: Change) -> str:
    """What happens to the slot, in a word or two."""
    return f"deferred {_WORDS[change.action]}" if change.deferred else _WORDS[change.action]


def why_of(change: Change) -> str:
    """Why, and what it waits for."""
    return f"{clean(change.deferred)}; then {clean(change.reason)}" if change.deferred else clean(change.reason)


def _why_at_once(change: Change) -> str:
    schedule = change.desired.schedule if change.desired else None
    return f"schedule: {clean(schedule)}" if schedule else "launch: true"


def grouped(changes: tuple[Change, ...]) -> list[list[Change]]:
    """Changes that differ in nothing but the slot, side by side, in the order of their first."""
    groups: dict[Any, list[Change]] = {}
    for change in changes:
        key = (change.slot.app, change.slot.pool, change.action, change.reason, change.deferred, repr(change.fields))
        groups.setdefault(key, []).append(change)
    return list(groups.values())


def _field_line(field: FieldChange, salt: str) -> str:
    before = shown(field.observed, is_secret=field.is_secret, salt=salt)
    after = shown(field.desired, is_secret=field.is_secret, salt=salt)
    return f"{clean(field.path)}: {before} -> {after}{_CAUSES[field.cause]}"


def _foreign_lines(plan: Plan, color: bool) -> Iterator[str]:
    for machine in plan.foreign:
        text = f"! foreign {machine.app}: {clean(machine.name)} [{machine.id}] {machine.state.value}"
        yield paint(text, "!", color=color) + f"  ({clean(machine.reason)}; left alone)"


def closing_line(plan: Plan) -> str:
    """The plan in one line."""
    counts = plan.counts()
    if plan.blocked and not plan.has_changes:
        return "Nothing is applied while that stands."
    if not plan.has_changes:
        count = counts[Action.NONE.value]
        return f"No changes. {count} machine{' is' if count == 1 else 's are'} as declared."
    parts = [
        f"{counts[action.value]} to {word}"
        for action, word in _WORDS.items()
        if counts[action.value] or action not in {Action.START, Action.ADOPT}
    ]
    if counts["deferred"]:
        parts.append(f"{counts['deferred']} deferred")
    unchanged = counts[Action.NONE.value]
    line = f"Plan: {', '.join(parts)}." + (f" {unchanged} unchanged." if unchanged else "")
    return line + (" Nothing of it is applied while it is blocked." if plan.blocked else "")


def _change_json(change: Change, salt: str) -> dict[str, Any]:
    return {
        "address": change.address,
        "app": change.slot.app,
        "pool": change.slot.pool,
        "kind": change.kind.value,
        "slot": change.slot.name,
        "region": change.slot.region,
        "action": change.action.value,
        "reason": clean(change.reason),
        "deferred": clean(change.deferred) if change.deferred else None,
        "machine": change.machine_id,
        "launch": change.runs_at_once,
        "depends_on": list(change.depends_on),
        "fields": [_field_json(field, salt) for field in change.fields],
    }


def _field_json(field: FieldChange, salt: str) -> dict[str, Any]:
    def value(raw: Any) -> Any:
        return masked(raw, salt) if field.is_secret else hidden(raw, salt)

    return {
        "path": field.path,
        "observed": value(field.observed),
        "desired": value(field.desired),
        "cause": field.cause.value,
        "masked": field.is_secret,
    }
