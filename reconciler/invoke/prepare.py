"""Prepare a machine for its start: applied config, overrides, no snapshot."""

from reconciler.invoke.claim_request import Claimant, Refusal
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Machine, MachineState
from reconciler.slots.context import Context
from reconciler.slots.lease import CLAIM_TTL_S, HeldLease
from reconciler.slots.wait import stop_and_wait


async def prepare(claimant: Claimant, lease: HeldLease, live: Machine, run_ulid: str) -> Machine | Refusal:
    """Prepare the machine for this run.

    Raises ApiError, LeaseLostError, UpdateFailedError.
    """
    want = claimant.known.want
    if want is not None and live.metadata.get(marks.APPLIED) != want.digest:
        from reconciler.invoke.reconfigure import bring_up_to_date

        updated = await bring_up_to_date(claimant, lease, live, want)
        if isinstance(updated, Refusal):
            return updated
        live = updated
    if live.state is MachineState.SUSPENDED:
        live = await _discard_snapshot(claimant.context, lease, live)
    if claimant.override.is_any or marks.OVERRIDE in live.metadata:
        from reconciler.invoke.reconfigure import make_its_own

        return await make_its_own(claimant, lease, live, run_ulid)
    return live


def declared_config(claimant: Claimant) -> MachineConfig:
    """Return the spec's config, its image pinned to the digest of the last apply."""
    want = claimant.known.want
    if want is None or want.image_digest is None:
        return claimant.pool.config
    from reconciler.planner.desired import with_digest

    return with_digest(claimant.pool.config, want.image_digest)


async def _discard_snapshot(context: Context, lease: HeldLease, live: Machine) -> Machine:
    """Stop a suspended machine: it would resume its old run, not start a new one."""
    return await stop_and_wait(context, lease, live, timeout_s=CLAIM_TTL_S) or live
