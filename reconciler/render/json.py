"""Show a plan as JSON for programs, as schemas/plan.schema.json describes it.

Env values and file contents are masked.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from reconciler.model.change import Action, Change, FieldChange
from reconciler.model.plan import AppDeletion, DeletionLimit, ForeignMachine, IpAllocation, Plan
from reconciler.render.changes import as_declared
from reconciler.render.images import image_members
from reconciler.render.lowerings import lowerings_json
from reconciler.render.redact import clean, hidden, masked
from reconciler.render.revision import revision_json
from reconciler.render.scope import scope_members, selection_json
from reconciler.render.style import FORMAT_VERSION
from reconciler.render.terraform import resource_changes

# Beside what JSON escapes anyhow: what turns, hides or controls, and what begins a command to a pipeline.
_UNSAFE: Final = re.compile(
    r"[\x7f-\xa0\u00ad\u0600-\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]|#(?=#)"
)


def json_text(document: Mapping[str, Any]) -> str:
    """Return the document as text that is safe to show and parses the same."""
    return "".join(json_pieces(document))


def json_pieces(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the same text piece by piece.

    A member that is an iterator becomes a list, of which one element at a time is in memory.
    """
    yield "{"
    for position, (key, value) in enumerate(document.items()):
        yield f"{',' if position else ''}\n  {_encoded(key)}: "
        if isinstance(value, Iterator):
            yield from _list_pieces(value)
        else:
            yield _encoded(value, depth=1)
    yield "\n}" if document else "}"


def _list_pieces(elements: Iterator[Any]) -> Iterator[str]:
    opening = "["
    for element in elements:
        yield f"{opening}\n    {_encoded(element, depth=2)}"
        opening = ","
    yield "[]" if opening == "[" else "\n  ]"


def _encoded(value: Any, *, depth: int = 0) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    text = text.replace("\n", "\n" + "  " * depth)  # those within strings are escaped
    return _UNSAFE.sub(lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def json_line(document: Mapping[str, Any]) -> str:
    """Return the document on one line, just as safe to show."""
    text = json.dumps(document, ensure_ascii=False, default=str)
    return _UNSAFE.sub(lambda found: _escaped(found[0]), text)


def plan_json(
    plan: Plan, *, plan_sha256: str | None, salt: str, change_hashes: Collection[str] | None = None
) -> dict[str, Any]:
    """Return the whole plan; unchanged slots are only counted."""
    members = plan_members(plan, plan_sha256=plan_sha256, salt=salt, change_hashes=change_hashes)
    return {key: list(value) if isinstance(value, Iterator) else value for key, value in members.items()}


def plan_members(
    plan: Plan, *, plan_sha256: str | None, salt: str, change_hashes: Collection[str] | None = None
) -> dict[str, Any]:
    """Return the same, with iterators for the long lists.

    `change_hashes` is the set that `plan_sha256` is the hash of; None where that is not known.
    """
    return {
        "format_version": FORMAT_VERSION,
        "plan_sha256": plan_sha256,
        "change_hashes": None if change_hashes is None else sorted(change_hashes),
        "stack": plan.stack,
        **scope_members(plan.scope),
        "selection": selection_json(plan.selection),
        "has_changes": plan.has_changes,
        "observed_at": plan.observed_at.isoformat() if plan.observed_at else None,
        "counts": dict(plan.counts()),
        "apps": [{"name": app.name, "org": app.org, "action": "create"} for app in plan.apps],
        "allocations": [_allocation(one) for one in plan.allocations],
        "app_deletions": [_deletion(one) for one in plan.app_deletions],
        **image_members(plan),
        "changes": (_change(change, salt) for change in plan.effective),
        "foreign": (_foreign(machine) for machine in plan.foreign),
        "foreign_ips": [{"app": one.app, "ip": clean(one.ip), "type": one.kind.value} for one in plan.foreign_ips],
        "unreachable": [
            {
                "address": machine.slot.address,
                "app": machine.slot.app,
                "pool": machine.slot.pool,
                "slot": machine.slot.name,
                "region": machine.slot.region,
                "machine": clean(machine.id),
                "host": machine.host,
                "not_understood": ", ".join(machine.not_understood),
            }
            for machine in plan.unreachable
        ],
        "bookkeeping": (
            {"app": write.app, "slot": clean(write.name), "machine": write.machine_id, "marks": dict(write.marks)}
            for write in plan.bookkeeping
        ),
        "lowerings": lowerings_json(plan),
        "warnings": [clean(warning) for warning in plan.warnings],
        "blocked": [clean(reason) for reason in plan.blocked],
        "superseded_by": revision_json(plan.superseded_by),
        "applied_revision": revision_json(plan.applied_revision),
        "deletion_limit": _limit(plan.deletion_limit) if plan.deletion_limit else None,
        "resource_changes": resource_changes(plan, salt=salt),
    }


def _limit(limit: DeletionLimit) -> dict[str, Any]:
    return {
        "destroys": limit.destroys,
        "of": limit.of,
        "replaces": limit.replaces,
        "is_allowed": limit.is_allowed,
    }


def _foreign(machine: ForeignMachine) -> dict[str, Any]:
    found = {
        "app": machine.app,
        "machine": clean(machine.id),
        "name": clean(machine.name),
        "state": machine.state.value,
        "reason": clean(machine.reason),
    }
    return found | ({"clone_of": clean(machine.clone_of)} if machine.clone_of else {})


def _allocation(one: IpAllocation) -> dict[str, Any]:
    return {
        "app": one.app,
        "type": one.kind.value,
        "action": "create",
        "reason": clean(one.reason),
        "reason_code": one.code.value,
    }


def _deletion(one: AppDeletion) -> dict[str, Any]:
    return {
        "app": one.app,
        "action": "delete",
        "ips": [clean(address.ip) for address in one.addresses],
        "secrets": [clean(name) for name in one.secrets],
    }


def _change(change: Change, salt: str) -> dict[str, Any]:
    return {
        **({"clone": clean(change.clone) or clean(change.machine_id or "")} if change.clone else {}),
        "address": change.address,
        "app": change.slot.app,
        "pool": change.slot.pool,
        "kind": change.kind.value,
        "slot": change.slot.name,
        "region": change.slot.region,
        "action": change.action.value,
        **marks_only_json(change),
        "reason": clean(change.reason),
        "reason_code": change.code.value if change.code else None,
        "deferred": clean(change.deferred) if change.deferred else None,
        "machine": change.machine_id,
        "launch": change.runs_at_once,
        "depends_on": list(change.depends_on),
        "fields": [_field(field, salt) for field in change.fields],
    }


def marks_only_json(change: Change) -> dict[str, bool]:
    """Return whether an adoption writes nothing but marks; nothing for other changes."""
    return {"marks_only": change.is_marks_only} if change.action is Action.ADOPT else {}


def _field(field: FieldChange, salt: str) -> dict[str, Any]:
    def value(raw: Any) -> Any:
        return masked(raw, salt) if field.is_secret else hidden(raw, salt)

    observed, desired = as_declared(field)
    return {
        "path": field.path,
        "observed": value(observed),
        "desired": value(desired),
        "cause": field.cause.value,
        "masked": field.is_secret,
    }
