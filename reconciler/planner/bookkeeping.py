"""Plan the marks that machines carry beside their configs. Pure.

They are for the next plan, and for whoever has no spec. None of them is a change: they are neither counted nor hashed,
and a mark that is absent is never a difference. Marks that a create or an update carries itself are not planned here.
What is due in the end depends on how the changes end, so an apply writes the bookkeeping of the world that it has read
back.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from reconciler.canonical.digest import DesiredDigests
from reconciler.model import marks
from reconciler.model.change import Action, Change
from reconciler.model.config import MachineConfig
from reconciler.model.kind import kind_of
from reconciler.model.machine import Machine, Observed, ObservedApp
from reconciler.model.marks import MetadataWrite
from reconciler.model.revision import Revision, begun, parse_revision, parse_whole
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import App, Pool, PoolKind, Spec
from reconciler.planner.holders import Holder, by_pool, holders_of, owned_in
from reconciler.planner.settings import knows_protection, run_policy_changes

_MAKES = frozenset({Action.CREATE, Action.REPLACE})


class BookkeepingInput(Struct, frozen=True, kw_only=True):
    """What the bookkeeping of one apply depends on beside spec and world.

    `reviewed` is the hash of the plan that was approved, None if there was none; `has_changes` says whether the apply
    has anything to do, and `is_whole` that nothing is left to do after it. The rest is as in Planner.
    """

    selection: Selection = WHOLE
    revision: Revision | None = None
    allow_rollback: bool = False
    reviewed: str | None = None
    has_changes: bool = False
    is_whole: bool = True


class _Due:
    """The marks that are due, by machine, in the order in which they are written."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], tuple[Holder, dict[str, str]]] = {}

    def leave(self, holder: Holder, key: str, value: str) -> None:
        """Add the mark, if it is not on the machine; an empty value takes it away."""
        if holder.metadata.get(key, "") != value:
            place = (holder.app, holder.name, holder.machine.id if holder.machine else "")
            self._found.setdefault(place, (holder, {}))[1][key] = value

    def writes(self) -> list[MetadataWrite]:
        return [holder.write(due) for holder, due in self._found.values()]


class AppBooks(NamedTuple):
    """The bookkeeping of one app, and its machine that may keep the stack's marks."""

    writes: tuple[MetadataWrite, ...]
    keeper: Holder | None


def app_books(
    app: App,
    observed: ObservedApp,
    holders: Sequence[Holder],
    changes: Iterable[Change],
    given: BookkeepingInput,
    digests: DesiredDigests,
) -> AppBooks:
    """Return what is due on the app's machines once the changes are made.

    `holders` are the stack's machines then.
    """
    changes = [change for change in changes if not change.deferred]
    due = _Due()
    _tidy(due, app, [holder for holder in holders if _is_selected(holder, given)])
    pools = [pool for pool in app.pools if given.selection.has_pool(pool.name)]
    unseen = [machine for machine in observed.machines if not (machine.is_observable or machine.state.is_gone)]
    pool_of = {slot.name: pool.name for pool in app.pools for slot in pool.slots if slot.given} if unseen else {}
    dark = {name for machine in unseen for name in _pools_of(machine, pool_of.get(machine.name))}
    _name_anchors(due, [pool for pool in pools if not {pool.name, ""} & dark], holders, given, digests)
    _mark_pools(due, pools, holders, _names(observed, changes), given, digests)
    return AppBooks(tuple(due.writes()), _stack_keeper(holders))


def stack_books(books: Iterable[AppBooks], given: BookkeepingInput) -> tuple[MetadataWrite, ...]:
    """Return all that is due: that of each app, and the marks of the stack's anchor."""
    books = list(books)
    writes = [write for one in books for write in one.writes]
    keeper = _stack_keeper(one.keeper for one in books if one.keeper)
    if keeper is None:
        return tuple(writes)
    due = _Due()
    if given.has_changes:
        # Which reviewed plan was applied last; without a review the mark goes.
        due.leave(keeper, marks.LAST_PLAN, given.reviewed or "")
    if given.revision and not is_surpassed(keeper.metadata, given.revision, allow_rollback=given.allow_rollback):
        # So that an older apply is refused even where this one changed nothing. A rollback lowers it.
        due.leave(keeper, marks.HIGHEST, _highest(keeper.metadata.get(marks.HIGHEST, ""), given.revision, given))
    return tuple(_joined(writes, due.writes()))


def _highest(before: str, revision: Revision, given: BookkeepingInput) -> str:
    """Return the mark of the revision.

    If it is not applied whole, the mark holds the one before too: who collects the approvals of several merges needs
    it.
    """
    if given.is_whole:
        return str(revision)
    return before if parse_revision(before) == revision else begun(revision, parse_whole(before))


def books_of(spec: Spec, observed: Observed, given: BookkeepingInput) -> tuple[MetadataWrite, ...]:
    """Return what is due on the machines as they are now, after the changes."""
    books = []
    for app in spec.apps:
        seen = observed.apps[app.name]
        if seen.broken:
            continue  # an anchor that was not listed must not be taken for one that is gone
        books.append(app_books(app, seen, holders_of(owned_in(seen, spec.stack), ()), (), given, DesiredDigests()))
    return stack_books(books, given)


def declared_config(spec: Spec, observed: Observed, write: MetadataWrite) -> MachineConfig | None:
    """Return what the spec declares for the machine of this write; None if no pool."""
    machines = observed.apps[write.app].machines
    pool = next((one.metadata.get(marks.POOL) for one in machines if one.id == write.machine_id), None)
    return next((one.config for one in spec.pools if (one.app, one.name) == (write.app, pool)), None)


def is_surpassed(metadata: Mapping[str, str], revision: Revision, *, allow_rollback: bool) -> bool:
    """Return whether a newer apply has left its revision on the machine."""
    highest = parse_revision(metadata.get(marks.HIGHEST, ""))
    return highest is not None and highest.is_newer_than(revision) and not allow_rollback


def _names(observed: ObservedApp, changes: Iterable[Change]) -> set[str]:
    """Return the names of all machines in the app once the changes are made."""
    gone = {change.machine_id for change in changes if change.action is Action.DESTROY}
    names = {one.name for one in observed.machines if not one.state.is_gone and one.id not in gone}
    return names | {change.slot.name for change in changes if change.action in _MAKES}


def _stack_keeper(holders: Iterable[Holder]) -> Holder | None:
    """Return the smallest name of a machine without services and checks, if any."""
    able = (holder for holder in holders if holder.takes_marks)
    return min(able, key=lambda holder: (holder.name, holder.app), default=None)


def _tidy(due: _Due, app: App, holders: Iterable[Holder]) -> None:
    """Take away what was left on machines that stay when something else was cut off."""
    names = {slot.name for pool in app.pools for slot in pool.slots}
    for holder in holders:
        if holder.machine is None or holder.carried_by or holder.is_made:
            continue
        if holder.machine.state.is_resting:
            due.leave(holder, marks.OVERRIDE, "")  # of a run whose process was killed; it goes with the run's config
        if holder.name in names and holder.takes_marks:
            due.leave(holder, marks.GONE, "")  # of a destroy that failed


def _pools_of(machine: Machine, named: str | None) -> set[str]:
    """Return the pools that a machine that cannot be observed may be of; "" is any.

    It may be the anchor, so these get no other one. `named` is the pool that has its name in `slots`.
    """
    by_name = named or machine.name.rpartition("-")[0].rpartition("-")[0]
    return {by_name, machine.metadata.get(marks.POOL, by_name)}


def _name_anchors(
    due: _Due, pools: Iterable[Pool], holders: Iterable[Holder], given: BookkeepingInput, digests: DesiredDigests
) -> None:
    """Name the anchor of each pool that has none, as a handover was cut off.

    It is the machine that the others name, else the smallest.
    """
    found = by_pool(holders)
    for pool in pools:
        members = found.get(pool.name, [])
        has_anchor = any(one.metadata.get(marks.ANCHOR) == one.name for one in members)
        if pool.kind is not PoolKind.TASK or has_anchor or any(one.carried_by for one in members):
            continue
        slots = {slot.name: slot for slot in pool.slots}
        named = {one.metadata.get(marks.ANCHOR) for one in members}
        own = [one for one in members if one.name in slots]
        if own:
            successor = min(
                own, key=lambda one: (one.name not in named, slots[one.name].number, slots[one.name].region)
            )
            due.leave(successor, marks.WANT, _want(pool, given, digests))
            due.leave(successor, marks.TERMS, pool.run_policy.to_text())
            due.leave(successor, marks.ANCHOR, successor.name)


def _mark_pools(
    due: _Due,
    pools: Iterable[Pool],
    holders: Iterable[Holder],
    names: Collection[str],
    given: BookkeepingInput,
    digests: DesiredDigests,
) -> None:
    """Mark the kind on each machine, and on anchors the run policy and the count.

    The kind is for the day on which the pool is no longer in the spec, if only the spec tells it now. The run policy of
    a task is for whoever invokes it without the spec. The count shows whether a machine was destroyed by hand. Run
    policy and protection are written only if they are not known: a difference in them is a change of the settings.
    """
    by_name = {pool.name: pool for pool in pools}
    for holder in holders:
        metadata, machine = holder.metadata, holder.machine
        pool = by_name.get(metadata.get(marks.POOL, ""))
        if pool is None or machine is None or holder.carried_by or not holder.takes_marks:
            continue
        is_selected = _is_selected(holder, given)
        if is_selected and not knows_protection(holder):
            due.leave(holder, marks.PROTECT, "yes" if pool.is_protected else "")
        is_misleading = marks.KIND not in metadata and kind_of(machine) is not pool.kind
        if is_selected and is_misleading and _is_as_declared(machine, pool, digests):
            due.leave(holder, marks.KIND, pool.kind.value)  # an earlier version's: its config alone misleads
        if metadata.get(marks.ANCHOR) != machine.name:
            continue
        if pool.kind is PoolKind.TASK:
            if not run_policy_changes(pool, machine):
                due.leave(holder, marks.TERMS, pool.run_policy.to_text())
            if _names_another(machine, pool, digests) and _is_as_declared(machine, pool, digests):
                due.leave(holder, marks.WANT, _want(pool, given, digests))
        if given.selection.regions and marks.COUNTS not in machine.metadata:
            continue  # a count that leaves regions out would say that nothing was there
        before = marks.parse_counts(machine.metadata.get(marks.COUNTS, ""))
        if counts := marks.counts_to_text(given.selection.counts(_counts_there(pool, names), before)):
            due.leave(holder, marks.COUNTS, counts)


def _is_selected(holder: Holder, given: BookkeepingInput) -> bool:
    if given.selection.is_whole:
        return True
    region = holder.machine.region if holder.machine else ""
    return given.selection.has_place(holder.metadata.get(marks.POOL, ""), region)


def _is_as_declared(machine: Machine, pool: Pool, digests: DesiredDigests) -> bool:
    return digests.of(pool.config).is_told_by(machine.metadata.get(marks.APPLIED), live=machine.config)


def _names_another(anchor: Machine, pool: Pool, digests: DesiredDigests) -> bool:
    """Return whether the anchor's `want` is not what the spec declares.

    That is so if one apply announced a config and another apply put the old one back.
    """
    want = marks.parse_want(anchor.metadata.get(marks.WANT, ""))
    return not digests.of(pool.config).is_told_by(want.digest, live=anchor.config)


def _counts_there(pool: Pool, names: Collection[str]) -> dict[str, int]:
    """Count the pool's slots by region, up to the first that could not be made."""
    missing = [slot for slot in pool.slots if slot.name not in names]
    first = {slot.region: slot.number for slot in reversed(missing)}
    return {region: first.get(region, count) for region, count in pool.counts.items()}


def _want(pool: Pool, given: BookkeepingInput, digests: DesiredDigests) -> str:
    revision = str(given.revision) if given.revision else None
    return marks.Want(digests.of(pool.config).text, revision, pool.resolved_digest).to_text()


def _joined(writes: Iterable[MetadataWrite], more: Iterable[MetadataWrite]) -> list[MetadataWrite]:
    """Join the writes to one machine: they are made under one lease."""
    found: dict[tuple[str, str, str | None], MetadataWrite] = {}
    for write in (*writes, *more):
        place = (write.app, write.name, write.machine_id)
        before = found.get(place)
        found[place] = replace(write, marks={**before.marks, **write.marks}) if before else write
    return list(found.values())
