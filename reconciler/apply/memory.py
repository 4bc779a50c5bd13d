"""What an apply leaves on machines beside their configs: the wanted digest of a busy pool, the highest revision, which
pools are protected, and the terms of a task's runs.

Metadata, written under a lease, and never on a machine with checks, whose reports a write would reset.
"""

from collections.abc import Iterable
from typing import Final

from reconciler.apply.options import Options
from reconciler.errors import ApiError, LeaseLostError
from reconciler.model import marks
from reconciler.model.machine import Machine, Observed
from reconciler.model.plan import Action, Change, Plan
from reconciler.model.report import Entry, Status
from reconciler.model.revision import Revision, parse_revision
from reconciler.model.spec import Pool, PoolKind, Spec
from reconciler.planner import digest_of
from reconciler.slots.actor import Actor
from reconciler.slots.lease import APPLY_TTL_S, hold_lease
from reconciler.slots.override import restore_if_idle

_PATIENCE_S: Final = 10.0


async def announce_want(
    actor: Actor, changes: Iterable[Change], entries: Iterable[Entry], revision: Revision | None
) -> None:
    """Tells the pool's desired digest on an anchor that is busy: its own update carries it only once it is at rest."""
    deferred = {ended.address for ended in entries if ended.status is Status.DEFERRED}
    for change in changes:
        is_anchor = change.anchor == change.slot.name and change.action is Action.UPDATE
        if is_anchor and change.address in deferred and change.kind is PoolKind.TASK:
            assert change.machine_id is not None
            assert change.desired_digest is not None
            want = marks.Want(change.desired_digest, str(revision) if revision else None, change.image_digest)
            await _write(actor, change.slot.app, change.machine_id, change.slot.name, marks.WANT, want.to_text())


async def raise_high_water(
    actor: Actor, spec: Spec, observed: Observed, revision: Revision | None, *, allow_rollback: bool
) -> None:
    """Leaves the revision on the stack's anchor, so that an older apply is refused even where this one changed nothing.

    A rollback that was asked for lowers it.
    """
    anchor = _stack_anchor(spec, observed)
    if revision is None or anchor is None:
        return
    highest = parse_revision(anchor.metadata.get(marks.HIGHEST, ""))
    if highest == revision or (highest and highest.is_newer_than(revision) and not allow_rollback):
        return
    await _write(actor, anchor.app, anchor.id, anchor.name, marks.HIGHEST, str(revision))


def last_plan(spec: Spec, observed: Observed) -> str | None:
    """The hash of the reviewed plan that was applied last."""
    found = (machine.metadata.get(marks.LAST_PLAN) for machine in _owned(spec, observed))
    return next((value for value in found if value), None)


async def remember_plan(actor: Actor, spec: Spec, observed: Observed, options: Options, plan: Plan) -> None:
    """Leaves the hash of a reviewed plan on the stack's anchor, so that it is not applied a second time.

    An apply without a review takes it away: after it the same changes may be due again.
    """
    anchor = _stack_anchor(spec, observed)
    wanted = options.plan_sha256 or ""
    if anchor and plan.has_changes and anchor.metadata.get(marks.LAST_PLAN, "") != wanted:
        await _write(actor, anchor.app, anchor.id, anchor.name, marks.LAST_PLAN, wanted)


def _stack_anchor(spec: Spec, observed: Observed) -> Machine | None:
    """The smallest name among the stack's machines without services and checks; without one there is none."""
    machines = [machine for machine in _owned(spec, observed) if not _has_checks(machine)]
    return min(machines, key=lambda machine: (machine.name, machine.app), default=None)


async def mark_pools(actor: Actor, spec: Spec, observed: Observed, options: Options) -> None:
    """Leaves what the spec says of pools and no config shows.

    On each machine whether its pool is protected, for the day on which the pool is no longer in the spec; on the anchor
    of a task the terms of its runs, for whoever invokes it without the spec. A task without an anchor gets one.
    """
    pools = {(pool.app, pool.name): pool for pool in spec.pools if not options.only or pool.name in options.only}
    owned = _owned(spec, observed)
    await _name_anchors(actor, pools.values(), owned, options.revision)
    for machine in owned:
        pool = pools.get((machine.app, machine.metadata[marks.POOL]))
        if pool is None or _has_checks(machine):
            continue
        wanted = {marks.PROTECT: "yes" if pool.is_protected else ""}
        if machine.metadata.get(marks.ANCHOR) == machine.name and pool.kind is PoolKind.TASK:
            wanted[marks.TERMS] = pool.terms.to_text()
        for key, value in wanted.items():
            if machine.metadata.get(key, "") != value:
                await _write(actor, machine.app, machine.id, machine.name, key, value)


async def _name_anchors(
    actor: Actor, pools: Iterable[Pool], owned: Iterable[Machine], revision: Revision | None
) -> None:
    """Where a handing over was cut off, nobody is the anchor: the machine that the others name, else the smallest."""
    for pool in pools:
        slots = {slot.name: slot for slot in pool.slots}
        machines = [one for one in owned if one.app == pool.app and one.metadata[marks.POOL] == pool.name]
        if pool.kind is not PoolKind.TASK or any(one.metadata.get(marks.ANCHOR) == one.name for one in machines):
            continue
        own = [one for one in machines if one.name in slots]
        named = {one.metadata.get(marks.ANCHOR) for one in machines}
        for heir in sorted(own, key=lambda one: (one.name not in named, slots[one.name].number, one.region))[:1]:
            want = marks.Want(digest_of(pool.config), str(revision) if revision else None, pool.resolved_digest)
            for key, value in (
                (marks.WANT, want.to_text()),
                (marks.TERMS, pool.terms.to_text()),
                (marks.ANCHOR, heir.name),
            ):
                await _write(actor, heir.app, heir.id, heir.name, key, value)


async def restore_idle(actor: Actor, spec: Spec, observed: Observed) -> None:
    """Takes off again what a run had of its own and nobody took off after it."""
    declared = {(pool.app, pool.name): pool.config for pool in spec.pools}
    for machine in _owned(spec, observed):
        if marks.OVERRIDE in machine.metadata and machine.state.is_resting:
            config = declared.get((machine.app, machine.metadata[marks.POOL]))
            await restore_if_idle(actor, machine, declared=config)


def _owned(spec: Spec, observed: Observed) -> list[Machine]:
    return [
        machine
        for machine in observed.machines
        if machine.is_observable
        and not machine.state.is_gone
        and marks.is_owned(machine.metadata, stack=spec.stack, name=machine.name)
    ]


def _has_checks(machine: Machine) -> bool:
    document = machine.config.document if machine.config else {}
    return bool(document.get("services") or document.get("checks"))


async def _write(actor: Actor, app: str, machine_id: str, name: str, key: str, value: str) -> None:
    """Writes one mark, or removes it where the value is empty. A failure is told and of no consequence to the slots."""
    try:
        async with hold_lease(actor, app, machine_id, verb="apply", ttl_s=APPLY_TTL_S, patience_s=_PATIENCE_S) as lease:
            lease.guard()
            if value:
                await actor.client.set_metadata(app, machine_id, key, value)
            else:
                await actor.client.delete_metadata(app, machine_id, key)
    except (ApiError, LeaseLostError) as error:
        actor.emit(f"{app}/{name}: could not write {key}: {error.message}")
