"""What the machine of a slot is to be, by the spec. Pure."""

from reconciler.canonical.digest import digest_of
from reconciler.model import marks
from reconciler.model.desired import DesiredMachine
from reconciler.model.spec import Pool, PoolKind, Slot


def desired_machine(pool: Pool, slot: Slot, *, anchor: str | None, digest: str | None = None) -> DesiredMachine:
    """Return what the slot's machine is to be. `anchor` is the name of the pool's; `digest` spares making it again."""
    is_anchor = anchor == slot.name
    return DesiredMachine(
        slot=slot,
        kind=pool.kind,
        config=pool.config,
        digest=digest or digest_of(pool.config),
        anchor=anchor,
        run_policy=pool.run_policy.to_text() if is_anchor and pool.kind is PoolKind.TASK else None,
        counts=counts_of(pool) if is_anchor else None,
        image_digest=pool.resolved_digest,
        launch=pool.launch,
        is_protected=pool.is_protected,
    )


def counts_of(pool: Pool) -> str | None:
    """Return what the anchor is to tell of the pool's machines by region; None where it is to tell nothing.

    Of a pool with services or checks it could not be kept true, since only an update can write marks there.
    """
    if pool.config.services or pool.config.checks:
        return None
    return marks.counts_to_text(pool.counts) or None
