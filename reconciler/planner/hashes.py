"""Hash plans and specs; find what differs from a plan that was approved. Pure.

The hash is what people approve, and what a saved plan is bound to. It is over the canonical changes, with values before
and after unmasked, and over the allowance for what is destroyed, where one is needed. It contains neither the output's
salt, nor versions, nor times, nor anything that a run in progress changes.
"""

import hashlib
import json
from dataclasses import replace
from typing import Any, Final

from reconciler.canonical.digest import digest_of
from reconciler.model.change import Action, Change
from reconciler.model.plan import Plan, SavedPlan
from reconciler.model.spec import App, Spec

_SCHEME: Final = 1


def plan_sha256(plan: Plan) -> str:
    """Return `sha256:` and 64 hex digits.

    It is equal for two plans that would write the same to the same machines.
    """
    document: dict[str, Any] = {
        "scheme": _SCHEME,
        "stack": plan.stack,
        "apps": [[app.name, app.org] for app in plan.apps],
        "changes": sorted((_change(change) for change in plan.effective), key=lambda one: str(one["address"])),
    }
    if plan.allocations:  # absent otherwise: the hash of a plan without any is as it was before there were any
        document["allocations"] = sorted([one.app, one.kind.value] for one in plan.allocations)
    if plan.deletion_limit and plan.deletion_limit.is_allowed:  # absent where nothing need be allowed
        document["allow_destroy"] = plan.deletion_limit.destroys
    return _sha256(document)


def spec_sha256(spec: Spec) -> str:
    """Return the hash of a spec after interpolation.

    Two texts that mean the same have one hash.
    """
    pools = [
        {
            "app": pool.app,
            "name": pool.name,
            "kind": pool.kind.value,
            "counts": dict(pool.counts),
            "config": digest_of(pool.config),
            "metadata": dict(pool.config.metadata),
            "terms": pool.run_policy.to_text(),
            "launch": pool.launch,
            "protect": pool.is_protected,
        }
        for pool in spec.pools
    ]
    apps = [[app.name, app.org, *_addresses(app)] for app in spec.apps]
    return _sha256({"scheme": _SCHEME, "stack": spec.stack, "apps": apps, "pools": pools})


def _addresses(app: App) -> list[list[str]]:
    return [] if app.addresses is None else [[kind.value for kind in app.addresses]]


def _change(change: Change) -> dict[str, Any]:
    if change.action is Action.SETTINGS:
        return {
            "address": change.address,
            "kind": change.kind.value,
            "action": change.action.value,
            "settings": [[field.path, field.observed, field.desired] for field in change.fields],
        }
    return {
        "address": change.address,
        "kind": change.kind.value,
        "action": change.action.value,
        "machine": change.machine_id,
        "before": change.expected.digest,
        "applied": change.expected.applied,
        "after": change.desired_digest,
        "runs_at_once": change.may_launch,
        "anchor": change.anchor,
        "heir": change.handover.successor if change.handover else None,
        "terms": change.run_policy,
        "protect": change.is_protected,
    }


def _sha256(document: Any) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def moved(saved: SavedPlan, now: Plan) -> tuple[str, ...]:
    """Say why the saved plan must not be applied any more, a line for each slot.

    There is none if all is as it was planned. `now` was planned with the allowance of the saved plan.
    """
    # What is allowed is what the file says. Early versions did not say it, and had it in no hash.
    now = replace(now, deletion_limit=saved.plan.deletion_limit)
    before = {change.address: change for change in saved.plan.effective}
    after = {change.address: change for change in now.effective}
    if plan_sha256(now) == saved.plan_sha256:
        # Same hash, so nothing has moved; what the file shows must be what the hash is of.
        is_whole = (
            before.keys() == after.keys()
            and not _allocations(saved.plan) ^ _allocations(now)
            and not any(_difference(before[address], after[address]) for address in before)
        )
        return () if is_whole else ("the changes in the file do not match its hash",)
    lines = [_difference(before.get(address), after.get(address)) for address in sorted({*before, *after})]
    ips = _allocations(saved.plan) ^ _allocations(now)
    gone = {app.name for app in saved.plan.apps} ^ {app.name for app in now.apps}
    lines += [f"app {name}: it was created or deleted since" for name in sorted(gone)]
    lines += [f"app {app}: its address {kind} was allocated or released since" for app, kind in sorted(ips)]
    return tuple(line for line in lines if line) or ("the plan is different now",)


def _allocations(plan: Plan) -> set[tuple[str, str]]:
    return {(one.app, one.kind.value) for one in plan.allocations}


def _difference(planned: Change | None, now: Change | None) -> str:
    if planned is None:
        assert now is not None
        return f"{now.address}: {now.action.value} is needed now, which was not planned ({now.reason})"
    if now is None:
        return f"{planned.address}: {planned.action.value} was planned, and nothing is needed any more"
    address = planned.address
    if planned.action is not now.action:
        return f"{address}: {planned.action.value} was planned, and it would be {now.action.value} now ({now.reason})"
    if planned.settings != now.settings:
        return f"{address}: other settings were planned than would be changed now ({now.reason})"
    if planned.machine_id != now.machine_id:
        return f"{address}: planned for machine {planned.machine_id}, and it is {now.machine_id} now"
    if planned.expected.applied != now.expected.applied:
        return f"{address}: another apply has changed machine {now.machine_id}"
    if planned.expected.digest != now.expected.digest:
        return f"{address}: machine {now.machine_id} was changed by someone else ({now.reason})"
    if planned.desired_digest != now.desired_digest:
        return f"{address}: the spec wants something else now"
    return ""
