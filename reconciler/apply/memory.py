"""What an apply leaves on machines beside their configs: the highest revision, which pools are protected, the terms
of a task's runs, and what a pool should be where its anchor names something else.

Metadata, written under a lease, and never on a machine with checks, whose reports a write would reset. All that one
machine is to remember is written under one lease, and machines side by side.
"""

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from reconciler.apply.locks import Locks
from reconciler.apply.options import Options
from reconciler.canonical.digest import digest_of
from reconciler.model import marks
from reconciler.model.kind import kind_of
from reconciler.model.machine import Machine, Observed
from reconciler.model.plan import Plan
from reconciler.model.revision import Revision, parse_revision
from reconciler.model.spec import Pool, PoolKind, Spec
from reconciler.slots.context import Context
from reconciler.slots.override import restore_if_idle
from reconciler.slots.wait import read_by_id


class _Place(NamedTuple):
    """The machine that remembers."""

    app: str
    machine_id: str
    name: str


_Wanted = dict[_Place, dict[str, str]]  # the marks to leave, in this order; an empty value takes the mark away


async def leave_marks(
    context: Context, spec: Spec, observed: Observed, options: Options, plan: Plan, locks: Locks
) -> list[str]:
    """Leaves what the spec says of pools and no config shows, and what the next apply must know of this one. What could
    not be written, in words.
    """
    owned = _owned(spec, observed)
    wanted: _Wanted = {}
    _name_anchors(wanted, spec, owned, options)
    _mark_pools(wanted, spec, owned, options, observed)
    _remember_plan(wanted, owned, options, plan)
    _raise_high_water(wanted, owned, options)
    return await _write_all(context, wanted, options, locks)


async def restore_idle(context: Context, spec: Spec, observed: Observed, options: Options, locks: Locks) -> list[str]:
    """Takes off again what a run had of its own and nobody took off after it. What could not be, in words."""
    declared = {(pool.app, pool.name): pool.config for pool in spec.pools}
    limit = asyncio.Semaphore(options.parallelism)

    async def one(machine: Machine) -> str | None:
        async with limit:
            config = declared.get((machine.app, machine.metadata[marks.POOL]))
            patience_s = locks.patience_s(machine.id)
            return await restore_if_idle(context, machine, declared=config, patience_s=patience_s)

    idle = [one for one in _owned(spec, observed) if marks.OVERRIDE in one.metadata and one.state.is_resting]
    failures = await asyncio.gather(*(one(machine) for machine in idle))
    return [why for why in failures if why]


def last_plan(spec: Spec, observed: Observed) -> str | None:
    """The hash of the reviewed plan that was applied last."""
    found = (machine.metadata.get(marks.LAST_PLAN) for machine in _owned(spec, observed))
    return next((value for value in found if value), None)


def _name_anchors(wanted: _Wanted, spec: Spec, owned: list[Machine], options: Options) -> None:
    """Where a handing over was cut off, nobody is the anchor: the machine that the others name, else the smallest."""
    pools: dict[tuple[str, str], list[Machine]] = {}
    for machine in owned:
        pools.setdefault((machine.app, machine.metadata[marks.POOL]), []).append(machine)
    for pool in _chosen(spec, options):
        machines = pools.get((pool.app, pool.name), [])
        if pool.kind is not PoolKind.TASK or any(one.metadata.get(marks.ANCHOR) == one.name for one in machines):
            continue
        slots = {slot.name: slot for slot in pool.slots}
        named = {one.metadata.get(marks.ANCHOR) for one in machines}
        own = [one for one in machines if one.name in slots]
        for heir in sorted(own, key=lambda one: (one.name not in named, slots[one.name].number, one.region))[:1]:
            _leave(wanted, heir, marks.WANT, _want(digest_of(pool.config), options.revision, pool.resolved_digest))
            _leave(wanted, heir, marks.TERMS, pool.terms.to_text())
            _leave(wanted, heir, marks.ANCHOR, heir.name)


def _mark_pools(wanted: _Wanted, spec: Spec, owned: list[Machine], options: Options, observed: Observed) -> None:
    """On each machine whether its pool is protected, and its kind where that can't be told without the spec, for the
    day on which the pool is no longer there; on the anchor of a task the terms of its runs, for whoever invokes it
    without the spec; on any anchor how many machines the pool has, so that one that is destroyed by hand is missed.
    """
    pools = {(pool.app, pool.name): pool for pool in _chosen(spec, options)}
    names = {name: {one.name for one in app.machines if not one.state.is_gone} for name, app in observed.apps.items()}
    for machine in owned:
        pool = pools.get((machine.app, machine.metadata[marks.POOL]))
        if pool is None or _has_checks(machine):
            continue
        _leave(wanted, machine, marks.PROTECT, "yes" if pool.is_protected else "")
        is_as_declared = machine.metadata.get(marks.APPLIED) == digest_of(pool.config)
        if marks.KIND not in machine.metadata and is_as_declared and kind_of(machine) is not pool.kind:
            _leave(wanted, machine, marks.KIND, pool.kind.value)  # an earlier version's: its config alone misleads
        if machine.metadata.get(marks.ANCHOR) != machine.name:
            continue
        if pool.kind is PoolKind.TASK:
            _leave(wanted, machine, marks.TERMS, pool.terms.to_text())
            if is_as_declared and _names_another(machine, pool):
                _leave(
                    wanted, machine, marks.WANT, _want(digest_of(pool.config), options.revision, pool.resolved_digest)
                )
        if counts := marks.counts_to_text(_counts_there(pool, names[machine.app])):
            _leave(wanted, machine, marks.COUNTS, counts)


def _names_another(anchor: Machine, pool: Pool) -> bool:
    """Whether it still wants what one apply announced while it was busy, and another one has taken back since."""
    return marks.parse_want(anchor.metadata.get(marks.WANT, "")).digest != digest_of(pool.config)


def _counts_there(pool: Pool, names: Collection[str]) -> dict[str, int]:
    """How many of the pool's slots there are by region, up to the first that could not be made."""
    missing = [slot for slot in pool.slots if slot.name not in names]
    first = {slot.region: slot.number for slot in reversed(missing)}
    return {region: first.get(region, count) for region, count in pool.counts.items()}


def _remember_plan(wanted: _Wanted, owned: list[Machine], options: Options, plan: Plan) -> None:
    """The hash of a reviewed plan, on the stack's anchor, so that it is not applied a second time.

    An apply without a review takes it away: after it the same changes may be due again.
    """
    anchor = _stack_anchor(owned)
    if anchor and plan.has_changes:
        _leave(wanted, anchor, marks.LAST_PLAN, options.plan_sha256 or "")


def _raise_high_water(wanted: _Wanted, owned: list[Machine], options: Options) -> None:
    """The revision, on the stack's anchor, so that an older apply is refused even where this one changed nothing.

    A rollback that was asked for lowers it.
    """
    anchor = _stack_anchor(owned)
    if anchor and options.revision and not _is_passed(anchor, options):
        _leave(wanted, anchor, marks.HIGHEST, str(options.revision))


def _is_passed(anchor: Machine, options: Options) -> bool:
    """Whether a newer apply has left its revision there."""
    highest = parse_revision(anchor.metadata.get(marks.HIGHEST, ""))
    if highest is None or options.revision is None:
        return False
    return highest.is_newer_than(options.revision) and not options.allow_rollback


def _stack_anchor(owned: list[Machine]) -> Machine | None:
    """The smallest name among the stack's machines without services and checks; without one there is none."""
    machines = [machine for machine in owned if not _has_checks(machine)]
    return min(machines, key=lambda machine: (machine.name, machine.app), default=None)


def _chosen(spec: Spec, options: Options) -> list[Pool]:
    return [pool for pool in spec.pools if not options.only or pool.name in options.only]


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


def _want(digest: str, revision: Revision | None, image_digest: str | None) -> str:
    return marks.Want(digest, str(revision) if revision else None, image_digest).to_text()


def _leave(wanted: _Wanted, machine: Machine, key: str, value: str) -> None:
    """Wants the mark on the machine, where it is not there already."""
    if machine.metadata.get(key, "") != value:
        wanted.setdefault(_Place(machine.app, machine.id, machine.name), {})[key] = value


async def _write_all(context: Context, wanted: _Wanted, options: Options, locks: Locks) -> list[str]:
    limit = asyncio.Semaphore(options.parallelism)

    async def one(place: _Place, values: dict[str, str]) -> str | None:
        async with limit:
            return await _write(context, place, values, options, locks)

    failures = await asyncio.gather(*(one(place, values) for place, values in wanted.items()))
    return [why for why in failures if why]


async def _write(context: Context, place: _Place, values: dict[str, str], options: Options, locks: Locks) -> str | None:
    """Writes the marks of one machine; why they could not be written, in words."""
    app, machine_id, name = place
    try:
        async with locks.hold(app, machine_id) as lease:
            if marks.HIGHEST in values:
                live = await read_by_id(context, app, machine_id)  # two applies may have seen the same list
                if live is None or _is_passed(live, options):
                    values = {key: value for key, value in values.items() if key != marks.HIGHEST}
            for key, value in values.items():
                lease.guard()
                if value:
                    await context.client.set_metadata(app, machine_id, key, value)
                else:
                    await context.client.delete_metadata(app, machine_id, key)
    except Exception as error:
        return f"{app}/{name}: could not write {', '.join(values)}: {context.explain(error)}"
    return None
