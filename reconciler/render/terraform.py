"""Show a plan's changes as Terraform's `resource_changes`, for policy tools.

`before` and `after` are what a machine's config is and what it will be, as the API spells it, without our marks.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from reconciler.canonical.sections import SECRET_MEMBERS
from reconciler.model.change import Action, Change
from reconciler.model.config import MachineConfig
from reconciler.model.marks import without_marks
from reconciler.model.plan import AppCreation, AppDeletion, IpAllocation, Plan
from reconciler.render.changes import as_declared
from reconciler.render.redact import hidden

_PROVIDER: Final = "machines-reconciler"
_ACTIONS: Final = {
    Action.CREATE: ["create"],
    Action.UPDATE: ["update"],
    Action.ADOPT: ["update"],
    Action.START: ["update"],
    Action.RELEASE: ["forget"],
    Action.REPLACE: ["delete", "create"],
    Action.DESTROY: ["delete"],
}
_GONE: Final = frozenset({Action.DESTROY, Action.RELEASE})  # destroyed, or no longer the stack's
_REASONS: Final = {
    Action.REPLACE: "replace_because_cannot_update",
    Action.DESTROY: "delete_because_no_resource_config",
}


def resource_changes(plan: Plan, *, salt: str) -> Iterator[dict[str, Any]]:
    """Yield new apps, effective changes, new IP addresses, and apps to delete.

    The changes are in the plan's order.
    """
    configs = _Configs(salt)
    yield from (_app(app) for app in plan.apps)
    for change in plan.effective:
        yield _settings(change) if change.action is Action.SETTINGS else _machine(change, configs)
    yield from (_allocation(one) for one in plan.allocations)
    yield from (_deletion(one) for one in plan.app_deletions)


def widget_counts(plan: Plan) -> dict[str, int]:
    """Count what GitLab's widget of a merge request shows.

    A replace is both a create and a delete; what adopts, starts or changes settings is an update. Deferred changes
    count as what they will be, as in `resource_changes`.
    """
    counts = Counter(word for change in plan.effective for word in _ACTIONS.get(change.action, ["update"]))
    counts["create"] += len(plan.apps) + len(plan.allocations)
    counts["delete"] += len(plan.app_deletions)
    return {word: counts[word] for word in ("create", "update", "delete")}


class _Configs:
    """Show configs; the desired one is kept, as all machines of a pool have it."""

    def __init__(self, salt: str) -> None:
        self._salt = salt
        self._desired: dict[int, tuple[MachineConfig, tuple[dict[str, Any] | None, Any]]] = {}

    def desired(self, config: MachineConfig | None) -> tuple[dict[str, Any] | None, Any]:
        """Return the same as `shown`, of a config that several changes share."""
        if config is None:
            return None, {}
        if id(config) not in self._desired:
            self._desired[id(config)] = config, self.shown(config)
        return self._desired[id(config)][1]

    def shown(self, config: MachineConfig | None) -> tuple[dict[str, Any] | None, Any]:
        """Return the document with its secrets masked, and which members those are."""
        if config is None:
            return None, {}
        document = dict(config.document)
        if config.metadata:
            document["metadata"] = without_marks(config.metadata)
        return hidden(document, self._salt), _sensitive(document)


def _app(app: AppCreation) -> dict[str, Any]:
    after = {"name": app.name, "org": app.org}
    return _resource("fly_app", app.name, app.name, ["create"], None, after, {}, {})


def _allocation(one: IpAllocation) -> dict[str, Any]:
    after = {"app": one.app, "type": one.kind.value}
    return _resource("fly_ip", f"{one.app}/{one.kind}", one.kind.value, ["create"], None, after, {}, {})


def _deletion(one: AppDeletion) -> dict[str, Any]:
    before = {"name": one.app, "secrets": list(one.secrets), "ips": [address.ip for address in one.addresses]}
    return _resource("fly_app", one.app, one.app, ["delete"], before, None, {}, {})


def _settings(change: Change) -> dict[str, Any]:
    what = {"app": change.slot.app, "name": change.slot.pool}
    before = what | {field.path: as_declared(field)[0] for field in change.fields}
    after = what | {field.path: as_declared(field)[1] for field in change.fields}
    address = f"{change.slot.app}/{change.slot.pool}"
    return _resource("pool_settings", address, change.slot.pool, ["update"], before, after, {}, {})


def _machine(change: Change, configs: _Configs) -> dict[str, Any]:
    is_made, is_gone = change.action is Action.CREATE, change.action in _GONE
    observed, is_observed_secret = configs.shown(change.observed)
    desired, is_desired_secret = configs.desired(change.desired.config if change.desired else None)
    what: dict[str, Any] = {"app": change.slot.app, "name": change.slot.name, "region": change.slot.region}
    before = None if is_made else what | {"config": observed, "id": change.machine_id}
    after = None if is_gone else what | {"config": desired}
    if change.action is Action.START and before is not None:
        state = change.machine_state.value if change.machine_state else None
        before, after = before | {"state": state}, what | {"config": observed, "state": "started"}
        is_desired_secret = is_observed_secret
    resource = _resource(
        "fly_machine",
        change.address,
        change.slot.name,
        _ACTIONS[change.action],
        before,
        after,
        {"config": is_observed_secret} if before else {},
        {"config": is_desired_secret} if after else {},
    )
    if reason := _REASONS.get(change.action):
        resource["action_reason"] = reason
    return resource


def _resource(
    kind: str,
    address: str,
    name: str,
    actions: list[str],
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    before_sensitive: dict[str, Any],
    after_sensitive: dict[str, Any],
) -> dict[str, Any]:
    return {
        "address": f"{kind}.{address}",
        "mode": "managed",
        "type": kind,
        "name": name,
        "provider_name": _PROVIDER,
        "change": {
            "actions": actions,
            "before": before,
            "after": after,
            "after_unknown": {},
            "before_sensitive": before_sensitive,
            "after_sensitive": after_sensitive,
        },
    }


def _sensitive(value: Any) -> Any:
    """Return the value's shape: true for each masked member, nothing for others."""
    if isinstance(value, dict):
        members = {key: key in SECRET_MEMBERS or _sensitive(member) for key, member in value.items()}
        return {key: member for key, member in members.items() if member}
    if isinstance(value, list):
        members_of_list = [_sensitive(member) for member in value]
        return members_of_list if any(members_of_list) else []
    return False
