"""Hash plans and specs. Pure.

The hash of a plan is what people approve: that of the set of its changes, each of which has a hash of its own. It is
over values before and after unmasked, and over the allowance for what is destroyed, where one is needed. It contains
neither the output's salt, nor versions, nor times, nor anything that a run in progress changes.
"""

import hashlib
import json
from typing import Any, Final

from reconciler.canonical.change_hashes import change_hashes, set_sha256
from reconciler.canonical.digest import FIRST_SCHEME, digest_of, scheme_of
from reconciler.model.change import Action, Change
from reconciler.model.plan import Plan
from reconciler.model.spec import App, Pool, Spec

_SCHEME: Final = 1


def plan_sha256(plan: Plan) -> str:
    """Return `sha256:` and 64 hex digits.

    It is equal for two plans that would write the same to the same machines.
    """
    return set_sha256(change_hashes(plan))


def early_plan_sha256(plan: Plan) -> str:
    """Return the hash that earlier versions gave the plan.

    They hashed the plan as a whole. What was approved by such a hash may still be applied.
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

    Two texts that mean the same have one hash. Images that are named by their digests count by these.
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
            **({"slots": given} if (given := _given(pool)) else {}),  # absent in a spec without
        }
        for pool in spec.pools
    ]
    apps = [[app.name, app.org, *_addresses(app)] for app in spec.apps]
    return _sha256({"scheme": _SCHEME, "stack": spec.stack, "apps": apps, "pools": pools})


def scheme_of_spec(spec: Spec) -> str:
    """Return the newest scheme that a digest of the spec's pools has."""
    return max((scheme_of(digest_of(pool.config)) for pool in spec.pools), default=FIRST_SCHEME)


def _given(pool: Pool) -> list[list[object]]:
    return [[slot.region, slot.number, slot.given] for slot in sorted(pool.slots) if slot.given]


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
