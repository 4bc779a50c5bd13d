"""Prepare a machine for its start: applied config, overrides, no snapshot."""

from msgspec.structs import replace

from reconciler.canonical.digest import is_digest_of
from reconciler.invoke.claim_request import Claimant, Refusal
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Machine, MachineState
from reconciler.model.revision import parse_revision
from reconciler.planner.desired import with_digest
from reconciler.slots.context import Context
from reconciler.slots.lease import CLAIM_TTL_S, HeldLease
from reconciler.slots.override import put_override, restore
from reconciler.slots.update import update_machine
from reconciler.slots.wait import stop_and_wait


async def prepare(claimant: Claimant, lease: HeldLease, live: Machine, run_ulid: str) -> Machine | Refusal:
    """Prepare the machine for this run.

    Raises ApiError, LeaseLostError, UpdateFailedError.
    """
    updated = await _bring_up_to_date(claimant, lease, live)
    if isinstance(updated, Refusal):
        return updated
    if updated.state is MachineState.SUSPENDED:
        updated = await _discard_snapshot(claimant.context, lease, updated)
    return await _made_its_own(claimant, lease, updated, run_ulid)


def declared_config(claimant: Claimant) -> MachineConfig:
    """Return the spec's config, its image pinned to the digest of the last apply."""
    want = claimant.known.want
    return with_digest(claimant.pool.config, want.image_digest if want else None)


async def _bring_up_to_date(claimant: Claimant, lease: HeldLease, live: Machine) -> Machine | Refusal:
    """Update a machine that was busy during the last apply, to what that applied.

    A spec that was not applied is never deployed.
    """
    want, applied = claimant.known.want, live.metadata.get(marks.APPLIED)
    if want is None or applied == want.digest:
        return live
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
    from reconciler.planner.desired import desired_machine

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


async def _made_its_own(claimant: Claimant, lease: HeldLease, live: Machine, run_ulid: str) -> Machine:
    """Set this run's overrides, and remove those that an earlier run left behind."""
    declared = declared_config(claimant)
    if claimant.override.is_any:
        policy = claimant.known.run_policy
        assert policy is not None, "an override is refused where the run policy is not known"
        return await put_override(
            claimant.context, lease, live, claimant.override, policy, ulid=run_ulid, declared=declared
        )
    if marks.OVERRIDE in live.metadata:
        return await restore(claimant.context, lease, live, declared=declared)
    return live


async def _discard_snapshot(context: Context, lease: HeldLease, live: Machine) -> Machine:
    """Stop a suspended machine: it would resume its old run, not start a new one."""
    return await stop_and_wait(context, lease, live, timeout_s=CLAIM_TTL_S) or live
