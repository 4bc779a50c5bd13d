"""Change a machine's config for a run: to what was applied, and by the overrides."""

from msgspec.structs import replace

from reconciler.canonical.digest import is_digest_of
from reconciler.invoke.claim_request import Claimant, Refusal
from reconciler.invoke.prepare import declared_config
from reconciler.model import marks
from reconciler.model.machine import Machine
from reconciler.model.revision import parse_revision
from reconciler.planner.desired import desired_machine
from reconciler.slots.lease import HeldLease
from reconciler.slots.override import put_override, restore
from reconciler.slots.update import update_machine


async def bring_up_to_date(claimant: Claimant, lease: HeldLease, live: Machine, want: marks.Want) -> Machine | Refusal:
    """Update a machine that was busy during the last apply, to what that applied.

    A spec that was not applied is never deployed.
    """
    applied = live.metadata.get(marks.APPLIED)
    config = declared_config(claimant)
    is_wanted = is_digest_of(want.digest, config, live=live.config)
    if is_wanted and is_digest_of(applied, config, live=live.config):
        return live  # the same config, once by a digest of the first scheme
    if not is_wanted:
        return Refusal(why=f"{live.name} does not have the applied config yet", needs_apply=True)
    assert live.config is not None
    slot = next((slot for slot in claimant.pool.slots if slot.name == live.name), None)
    if slot is None:
        return Refusal(why=f"{live.name} is no longer in the spec", needs_apply=True)
    anchor = live.metadata.get(marks.ANCHOR)
    desired = desired_machine(replace(claimant.pool, config=config), slot, anchor=anchor, digest=want.digest)
    # The settings are those of the last apply too: only an apply changes them.
    is_protected = marks.PROTECT in live.metadata or (marks.KIND not in live.metadata and desired.is_protected)
    desired = replace(
        desired,
        run_policy=live.metadata.get(marks.TERMS) or desired.run_policy,
        counts=None,
        image_digest=want.image_digest,
        is_protected=is_protected,
    )
    return await update_machine(
        claimant.context, lease, live, desired, stack=claimant.stack, revision=parse_revision(want.revision or "")
    )


async def make_its_own(claimant: Claimant, lease: HeldLease, live: Machine, run_ulid: str) -> Machine:
    """Set this run's overrides, and remove those that an earlier run left behind."""
    declared = declared_config(claimant)
    if claimant.override.is_any:
        policy = claimant.known.run_policy
        assert policy is not None, "an override is refused where the run policy is not known"
        return await put_override(
            claimant.context, lease, live, claimant.override, policy, ulid=run_ulid, declared=declared
        )
    return await restore(claimant.context, lease, live, declared=declared)
