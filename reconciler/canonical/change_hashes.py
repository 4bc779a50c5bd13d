"""Hash each change of a plan by itself. Pure.

A plan is approved as the set of these hashes, so that it can be resumed: what is done is no longer due, and what is
still due is in the set (docs/explanation/protocols.md, section 4). A hash is over the address, the action, what the
change is bound to, and the target. It contains no version, no time, and nothing that a run in progress changes. A
member that is absent is not hashed, so later kinds of change can be added.

A replace is two changes, its destroy and its create. A change of the settings is one change for each setting. What is
destroyed above the deletion limit is hashed with its allowance.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

from reconciler.model.change import Action, Change
from reconciler.model.plan import AppCreation, IpAllocation, Plan

LENGTH: Final = 16  # hexadecimal digits of a change's hash
_LOSES: Final = frozenset({Action.DESTROY, Action.REPLACE})
_WITH_SETTINGS: Final = frozenset({Action.CREATE, Action.REPLACE, Action.ADOPT})
_SENDS: Final = frozenset({*_WITH_SETTINGS, Action.UPDATE})


def change_hashes(plan: Plan) -> tuple[str, ...]:
    """Return the hashes of all that the plan does, sorted."""
    is_allowed = bool(plan.deletion_limit and plan.deletion_limit.is_allowed)
    found = {hash_of_creation(plan.stack, app) for app in plan.apps}
    found |= {hash_of_allocation(plan.stack, one) for one in plan.allocations}
    found |= {_hash(plan.stack, one.app, "delete_app") for one in plan.app_deletions}
    for change in plan.effective:
        found.update(hashes_of(plan.stack, change, is_allowed=is_allowed))
    return tuple(sorted(found))


def set_sha256(hashes: Iterable[str]) -> str:
    """Return the hash of a set of changes: `sha256:` and 64 hexadecimal digits."""
    text = "\n".join(["plan 2", *sorted(set(hashes))])
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def hash_of_creation(stack: str, app: AppCreation) -> str:
    """Return the hash of an app's creation."""
    return _hash(stack, app.name, "create_app", target=app.org)


def hash_of_allocation(stack: str, one: IpAllocation) -> str:
    """Return the hash of an IP address's allocation."""
    return _hash(stack, one.app, "allocate", target=one.kind.value)


def hashes_of(stack: str, change: Change, *, is_allowed: bool = False, target: str | None = None) -> tuple[str, ...]:
    """Return the hashes of the change: none if it changes nothing.

    `is_allowed` says that it is part of a plan above the deletion limit that was allowed. `target` replaces the
    digest of the change's own target, as for a change that was read from a file.
    """
    action, address = change.action, change.address
    if action is Action.SETTINGS:
        return tuple(
            _hash(stack, address, action.value, part=field.path, bound=[field.observed], target=[field.desired])
            for field in change.fields
        )
    if not change.is_effective:
        return ()
    aim = target_of(change) if target is None else target or None
    if action is Action.CREATE:
        return (_hash(stack, address, action.value, target=aim),)
    bound: list[Any] = [change.machine_id, change.expected.digest]
    if action is Action.ADOPT:  # marks of a machine that no stack has marked say nothing
        return (_hash(stack, address, action.value, bound=bound, target=aim),)
    bound.append(change.expected.applied)
    allowed = True if is_allowed and is_loss(change) else None
    if action is Action.REPLACE:
        destroyed = _hash(stack, address, Action.DESTROY.value, bound=bound, allowed=allowed)
        return destroyed, _hash(stack, address, Action.CREATE.value, target=aim)
    if action is Action.DESTROY:
        return (_hash(stack, address, action.value, bound=bound, allowed=allowed),)
    return (_hash(stack, address, action.value, bound=bound, target=aim),)


def is_loss(change: Change) -> bool:
    """Return whether the deletion limit counts the change."""
    return change.action in _LOSES and not change.is_duplicate


def target_of(change: Change) -> str | None:
    """Return the digest of what the change makes of its slot.

    None if it sends no config. The settings of a pool are part of the change that makes or adopts its anchor.
    """
    if change.desired is None or change.action not in _SENDS:
        return None
    target: dict[str, Any] = {"config": change.desired.digest, "kind": change.kind.value}
    if change.may_launch:
        target["launch"] = True
    if change.action in _WITH_SETTINGS and change.anchor == change.slot.name:
        target["terms"] = change.desired.run_policy
        target["protect"] = change.desired.is_protected
    return _digest(target)


def _hash(stack: str, address: str, action: str, **members: Any) -> str:
    present = {key: value for key, value in members.items() if value is not None}
    return _digest({"stack": stack, "address": address, "action": action, **present})


def _digest(document: Any) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:LENGTH]
