"""Write and read saved plans: the plan's JSON, and what each change is bound to."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec.structs import replace

from reconciler.canonical.change_hashes import (
    hash_of_allocation,
    hash_of_creation,
    hashes_of,
    set_sha256,
    target_of,
)
from reconciler.errors import UsageError
from reconciler.model.change import Action, Cause, Change, FieldChange, ReasonCode
from reconciler.model.config import MachineConfig
from reconciler.model.desired import DesiredMachine, Expected, Handover
from reconciler.model.ip_address import ForeignIp, IpKind
from reconciler.model.machine import MachineState
from reconciler.model.plan import (
    AppCreation,
    DeletionLimit,
    ForeignMachine,
    IpAllocation,
    Plan,
    SavedPlan,
    UnreachableMachine,
)
from reconciler.model.scope import Scope
from reconciler.model.selection import Selection
from reconciler.model.spec import PoolKind, Slot, slot_named
from reconciler.render.images import parse_builds
from reconciler.render.json import plan_json
from reconciler.render.redact import as_masked
from reconciler.render.scope import selection_json
from reconciler.render.style import FORMAT_VERSION

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_FIRST_SCHEME: Final = "1"  # of digests: that of plans that name none
_HASH: Final = r"sha256:[0-9a-f]{64}"


def saved_json(saved: SavedPlan, *, salt: str) -> dict[str, Any]:
    """Return the file's content.

    `saved.plan` is the plan as it was made; its values are masked here.
    """
    document = plan_json(saved.plan, plan_sha256=saved.plan_sha256, salt=salt, change_hashes=saved.change_hashes)
    for shown, change in zip(document["changes"], saved.plan.effective, strict=True):
        shown["bound_to"] = {
            "digest": change.expected.digest,
            "applied": change.expected.applied,
            "desired": change.desired_digest,
            "version": change.expected.version,
            "target": target_of(change),
        }
        if change.action is Action.SETTINGS:
            shown["bound_to"]["settings"] = [[field.observed, field.desired] for field in change.fields]
        shown["is_twin"] = change.is_duplicate
    document["saved"] = {
        "tool_version": saved.tool_version,
        "scheme": saved.scheme,
        "target": saved.target,
        "spec_sha256": saved.spec_sha256,
        **selection_json(saved.selection),
        "app": saved.app,
        "adopt": saved.adopt,
        "prune_clones": saved.prune_clones,
        "allow_destroy": saved.allow_destroy,
        "images": dict(saved.images),
    }
    return document


def parse_saved(text: str, *, name: str) -> SavedPlan:
    """Read the plan of the file named. Raises UsageError if it cannot be read."""
    try:
        document = json.loads(text)
        version = document["format_version"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        hint = "make one with `reconciler plan --out FILE`"
        if name.endswith((".yaml", ".yml")):
            hint = f"a spec is named with -f: `-f {name}`"
        raise UsageError(f"{name} is not a saved plan", hint=hint) from error
    if version != FORMAT_VERSION:
        hint = "apply it with the version that made it, or plan again"
        raise UsageError(f"{name} has the format {version}, and this version reads {FORMAT_VERSION}", hint=hint)
    try:
        return _saved(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{name} is not a whole saved plan: {error!r}", hint="plan again") from error


def _approved(document: Mapping[str, Any], plan: Plan) -> frozenset[str] | None:
    """Return the set of changes that the file holds.

    None for a file of an earlier version. Raises ValueError if the set is not that of the hash, or not that of the
    changes that the file shows.
    """
    listed = document.get("change_hashes")
    if listed is None:
        return None
    is_allowed = bool(plan.deletion_limit and plan.deletion_limit.is_allowed)
    shown = {hash_of_creation(plan.stack, app) for app in plan.apps}
    shown |= {hash_of_allocation(plan.stack, one) for one in plan.allocations}
    for value, change in zip(document["changes"], plan.changes, strict=True):
        target = value["bound_to"]["target"]
        shown.update(hashes_of(plan.stack, change, is_allowed=is_allowed, target=target or ""))
    if set_sha256(listed) != document["plan_sha256"] or shown != set(listed):
        raise ValueError("the changes in the file do not match its hash")
    return frozenset(listed)


def _saved(document: Mapping[str, Any]) -> SavedPlan:
    saved = document["saved"]
    observed_at = document["observed_at"]
    plan = Plan(
        stack=_name(document["stack"]),
        apps=tuple(AppCreation(name=app["name"], org=app["org"]) for app in document["apps"]),
        changes=_changes(document),
        allocations=tuple(_allocation(one) for one in document.get("allocations", ())),
        builds=parse_builds(document),
        image_variables=tuple(document.get("image_variables", ())),
        foreign_ips=tuple(
            ForeignIp(app=_name(one["app"]), ip=one["ip"], kind=IpKind(one["type"]))
            for one in document.get("foreign_ips", ())
        ),
        foreign=tuple(_foreign(machine) for machine in document["foreign"]),
        unreachable=tuple(_unreachable(machine) for machine in document.get("unreachable", ())),
        warnings=tuple(document["warnings"]),
        blocked=tuple(document["blocked"]),
        deletion_limit=_limit(document.get("deletion_limit")),
        observed_at=datetime.fromisoformat(observed_at) if observed_at else None,
        selection=_selection(document.get("selection") or {}),
        unchanged=int(document["counts"][Action.NONE.value]),
        scope=_scope(document),
    )
    return SavedPlan(
        plan=plan,
        plan_sha256=_hash(document["plan_sha256"]),
        spec_sha256=saved["spec_sha256"],
        tool_version=saved["tool_version"],
        scheme=saved.get("scheme", _FIRST_SCHEME),
        target=saved["target"],
        selection=_selection(saved),
        app=saved["app"],
        adopt=bool(saved["adopt"]),
        prune_clones=bool(saved.get("prune_clones")),
        allow_destroy=saved["allow_destroy"],
        images=dict(saved["images"]),
        change_hashes=_approved(document, plan),
    )


def _selection(members: Mapping[str, Any]) -> Selection:
    """Read a selection. Plans of earlier versions have `only` alone."""
    only, exclude, regions = (tuple(members.get(name, ())) for name in ("only", "exclude", "regions"))
    return Selection(only=only, exclude=exclude, regions=regions)


def _scope(document: Mapping[str, Any]) -> Scope | None:
    """Read where the plan holds. Plans saved before version 0.5 do not say it."""
    if "spec" not in document:
        return None
    return Scope(
        stack=_name(document["stack"]),
        spec=str(document["spec"]),
        overlays=tuple(document.get("overlays", ())),
        target=document["target"],
        orgs=tuple(document["orgs"]),
        environment=document["environment"],
    )


def _changes(document: Mapping[str, Any]) -> tuple[Change, ...]:
    """Read each change with the configs that it was shown with."""
    first = len(document["apps"])
    resources = document["resource_changes"][first : first + len(document["changes"])]
    return tuple(
        _change(change, resource["change"]) for change, resource in zip(document["changes"], resources, strict=True)
    )


def _limit(value: Mapping[str, Any] | None) -> DeletionLimit | None:
    """Read what the plan destroys. Plans saved before version 0.5 do not say it."""
    if value is None:
        return None
    destroys, of, replaces = (int(value[member]) for member in ("destroys", "of", "replaces"))
    return DeletionLimit(destroys=destroys, of=of, replaces=replaces, is_allowed=bool(value["is_allowed"]))


def _allocation(value: Mapping[str, Any]) -> IpAllocation:
    return IpAllocation(
        app=_name(value["app"]),
        kind=IpKind(value["type"]),
        reason=value["reason"],
        code=ReasonCode(value["reason_code"]),
    )


def _change(value: Mapping[str, Any], resource: Mapping[str, Any]) -> Change:
    bound = value["bound_to"]
    action = Action(value["action"])
    before, after = resource["before"] or {}, resource["after"] or {}
    slot = slot_named(_name(value["app"]), _name(value["pool"]), _name(value["slot"]), region=_name(value["region"]))
    return Change(
        slot=slot,
        kind=PoolKind(value["kind"]),
        action=action,
        reason=value["reason"],
        code=ReasonCode(value["reason_code"]) if value.get("reason_code") else None,
        fields=_bound(tuple(_field(one) for one in value["fields"]), bound.get("settings", ())),
        deferred=value["deferred"],
        machine_id=value["machine"],
        machine_state=MachineState(before["state"]) if before.get("state") else None,
        expected=Expected(digest=bound["digest"], applied=bound["applied"], version=bound.get("version")),
        observed=_config(before),
        desired=_desired(slot, value, after) if action is not Action.START else None,
        handover=_handover(bound["desired"]) if action is Action.DESTROY else None,
        is_duplicate=bool(value["is_twin"]),
        clone=value.get("clone", ""),
        depends_on=tuple(value["depends_on"]),
    )


def _desired(slot: Slot, value: Mapping[str, Any], after: Mapping[str, Any]) -> DesiredMachine | None:
    """Return what the change sends, as far as the file has it.

    It is planned again before it is sent.
    """
    config = _config(after)
    if config is None:
        return None
    return DesiredMachine(
        slot=slot,
        kind=PoolKind(value["kind"]),
        config=config,
        digest=value["bound_to"]["desired"],
        launch=bool(value["launch"]),
    )


def _handover(digest: str | None) -> Handover | None:
    return Handover(successor=None, digest=digest, run_policy="") if digest else None


def _config(resource: Mapping[str, Any]) -> MachineConfig | None:
    config = resource.get("config")
    return MachineConfig(document=as_masked(dict(config))) if config is not None else None


def _field(value: Mapping[str, Any]) -> FieldChange:
    """Read a field whose values are masked already, if they need it."""
    return FieldChange(
        path=value["path"],
        observed=as_masked(value["observed"]),
        desired=as_masked(value["desired"]),
        cause=Cause(value["cause"]),
        is_secret=bool(value["masked"]),
    )


def _bound(fields: tuple[FieldChange, ...], settings: Sequence[Any]) -> tuple[FieldChange, ...]:
    """Return the fields with the settings that the plan's hash contains.

    Plans saved before version 0.3 have no settings.
    """
    if not settings:
        return fields
    pairs = zip(fields, settings, strict=True)
    return tuple(replace(field, observed=observed, desired=desired) for field, (observed, desired) in pairs)


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(_NAME, value):
        raise ValueError(f"{value!r} is no name")
    return value


def _hash(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(_HASH, value):
        raise ValueError("the plan's hash is none")
    return value


def _unreachable(value: Mapping[str, Any]) -> UnreachableMachine:
    slot = slot_named(_name(value["app"]), _name(value["pool"]), _name(value["slot"]), region=_name(value["region"]))
    members = tuple(member for member in value.get("not_understood", "").split(", ") if member)
    return UnreachableMachine(slot=slot, id=value["machine"], host=value["host"], not_understood=members)


def _foreign(value: Mapping[str, Any]) -> ForeignMachine:
    members = {"id": value["machine"], "state": MachineState(value["state"]), "clone_of": value.get("clone_of", "")}
    return ForeignMachine(app=value["app"], name=value["name"], reason=value["reason"], **members)
