"""Make the plan: what happens to each slot and each orphan, and why. Pure.

Apps are planned one by one: none knows of another, so that the world may come in pieces and need not be held as a
whole. The result does not depend on the order in which apps come or machines were listed.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.model import marks
from reconciler.model.change import Action, Change
from reconciler.model.ip_address import ForeignIp
from reconciler.model.machine import Observed, ObservedApp
from reconciler.model.marks import DueWrites, MetadataWrite
from reconciler.model.plan import (
    Announcement,
    AppCreation,
    ForeignMachine,
    ImageBuild,
    IpAllocation,
    Plan,
    UnreachableMachine,
)
from reconciler.model.revision import Revision
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import App, Spec
from reconciler.planner.bookkeeping import AppBooks, BookkeepingInput, app_books, stack_books
from reconciler.planner.changes import (
    adoption,
    duplicate_changes,
    not_known_as_lost,
    orphan_changes,
    slot_changes,
)
from reconciler.planner.clones import prune
from reconciler.planner.diff import Differ
from reconciler.planner.holders import holders_of, leaving_anchors
from reconciler.planner.image_builds import builds_of, image_variables_of
from reconciler.planner.ip_addresses import allocations_of, foreign_ips_of
from reconciler.planner.leader_slot import anchors_of, announcements_of
from reconciler.planner.limits import AppliedRevisions, deletion_limit, newer_revision, protected_pools
from reconciler.planner.order import held_back, with_edges
from reconciler.planner.pair import Paired, pair, unreachable_of
from reconciler.planner.settings import after_settings, settings_changes


class _Draft(Struct):
    """What was found of one app."""

    creation: AppCreation | None = None
    allocations: tuple[IpAllocation, ...] = ()
    foreign_ips: tuple[ForeignIp, ...] = ()
    changes: tuple[Change, ...] = ()
    announcements: tuple[Announcement, ...] = ()
    builds: tuple[ImageBuild, ...] = ()
    image_variables: tuple[str, ...] = ()
    foreign: list[ForeignMachine] = field(default_factory=list)
    unreachable: list[UnreachableMachine] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    books: Callable[[], AppBooks] | None = None
    owned_count: int = 0
    newer: Revision | None = None


class Planner:
    """Makes the plan of a stack, one app after the other.

    `selection` restricts it to a part of the stack. `allow_destroy` lifts the deletion limit for a plan that destroys
    or replaces at most so many machines. If a newer `revision` was applied the plan is blocked, unless
    `allow_rollback`. With `adopt`, unmarked machines that have a slot's name are taken over, with `prune_clones` clones
    made by hand are destroyed. With `keeps_machines` the plan's bookkeeping is found only when it is asked for; until
    then the plan holds the machines that it is about.
    """

    def __init__(
        self,
        stack: str,
        *,
        selection: Selection = WHOLE,
        allow_destroy: int | None = None,
        revision: Revision | None = None,
        allow_rollback: bool = False,
        adopt: bool = False,
        prune_clones: bool = False,
        keeps_machines: bool = False,
    ) -> None:
        self._stack = stack
        self._selection = selection
        self._allow_destroy = allow_destroy
        self._revision = revision
        self._allow_rollback = allow_rollback
        self._adopt = adopt
        self._prunes_clones = prune_clones
        self._keeps_machines = keeps_machines
        self._given = BookkeepingInput(selection=selection, revision=revision, allow_rollback=allow_rollback)
        self._differ = Differ()
        self._drafts: dict[str, _Draft] = {}
        self._applied = AppliedRevisions()
        self._declared: set[tuple[str, str]] = set()  # pools, by app and name

    def add(self, app: App, observed: ObservedApp, at: datetime) -> None:
        """Plan one app of the spec as it was seen `at`.

        Of the snapshot, only what the changes are about is kept, unless the planner keeps the machines.
        """
        self._declared.update((app.name, pool.name) for pool in app.pools)
        self._drafts[app.name] = self._draft(app, observed, at)

    def plan(self, app_names: Iterable[str], *, observed_at: datetime | None, warnings: Iterable[str] = ()) -> Plan:
        """Return the plan of these apps, each of which was added, in this order."""
        drafts = [self._drafts[name] for name in app_names]
        said = [*warnings, *(warning for draft in drafts for warning in draft.warnings)]
        blocked = [reason for draft in drafts for reason in draft.blocked]
        changes = tuple(change for draft in drafts for change in draft.changes)
        if self._applied.is_cut_off:
            changes = tuple(map(not_known_as_lost, changes))
        if not self._selection.is_whole:
            said.append(f"a partial plan: {self._selection.words}; the rest was not compared")
        owned_count = sum(draft.owned_count for draft in drafts)
        blocked += protected_pools(changes, self._declared)
        limit = deletion_limit(changes, owned_count, self._allow_destroy)
        if limit and not limit.is_allowed:
            blocked.append(limit.words)
        if unlike := self._applied.unlike(self._revision):
            said.append(unlike)
        superseded_by = None
        if (newer := self._newer()) and self._revision:
            words = f"{newer.words} was applied already, and this is {self._revision.words}, an older one"
            if self._allow_rollback:
                said.append(f"{words}; an apply of it needs --allow-rollback")
            else:
                superseded_by = newer
                blocked.append(f"{words}; if that is meant, pass --allow-rollback")
        foreign = [machine for draft in drafts for machine in draft.foreign]
        apps = tuple(draft.creation for draft in drafts if draft.creation)
        allocations = tuple(one for draft in drafts for one in draft.allocations)
        has_changes = bool(apps or allocations) or any(change.is_effective for change in changes)
        given = replace(self._given, has_changes=has_changes)
        return Plan(
            stack=self._stack,
            selection=self._selection,
            apps=apps,
            changes=changes,
            foreign=tuple(sorted(foreign, key=lambda machine: (machine.app, machine.name, machine.id))),
            announcements=tuple(one for draft in drafts for one in draft.announcements),
            bookkeeping=DueWrites(partial(_books, [draft.books for draft in drafts if draft.books], given)),
            warnings=tuple(said),
            blocked=tuple(blocked),
            observed_at=observed_at,
            unreachable=tuple(one for draft in drafts for one in draft.unreachable),
            allocations=allocations,
            foreign_ips=tuple(one for draft in drafts for one in draft.foreign_ips),
            deletion_limit=limit,
            superseded_by=superseded_by,
            applied_revision=self._applied.whole,
            builds=tuple(one for draft in drafts for one in draft.builds),
            image_variables=tuple(dict.fromkeys(name for draft in drafts for name in draft.image_variables)),
        )

    def _draft(self, app: App, observed: ObservedApp, at: datetime) -> _Draft:
        draft = _Draft()
        if observed.unobserved:
            draft.blocked.append(
                f"{observed.unobserved}: the answer cannot be believed, so nothing may be changed; try again"
            )
            return draft
        selection = self._selection
        paired = pair(app, observed, stack=self._stack, selection=selection)
        pruned = prune(app, paired) if self._prunes_clones else ()
        adopted = self._adopted(draft, app, paired, at)
        planned = {one.machine_id for one in (*adopted, *pruned)}
        draft.foreign = [machine for machine in paired.foreign if machine.id not in planned]
        draft.unreachable = [one for one in unreachable_of(paired) if selection.has(one.slot)]
        draft.warnings += [*paired.warnings, *(one.words for one in draft.unreachable)]
        draft.owned_count = len(paired.owned) + len(pruned)
        draft.newer = newer_revision(paired.owned, self._revision)
        self._applied.add(paired.owned)
        found = (
            *slot_changes(app, paired, self._differ, at),
            *orphan_changes(app, paired),
            *duplicate_changes(app, paired),
            *adopted,
        )
        changes = held_back([*(change for change in found if selection.has(change.slot)), *pruned])
        if not observed.exists and changes:
            draft.creation = AppCreation(name=app.name, org=app.org)
        lock = min(paired.owned, key=lambda machine: machine.name, default=None)
        draft.allocations = allocations_of(
            app,
            observed,
            is_created=bool(draft.creation),
            is_whole=selection.is_whole,
            lock_id=lock.id if lock else None,
        )
        draft.foreign_ips = foreign_ips_of(app, observed)
        draft.changes = with_edges(changes, is_empty=not observed.machines)
        draft.warnings += _crash_warnings(draft.changes)
        draft.announcements = tuple(announcements_of(app, paired, [change for change in changes if not change.clone]))
        holders = holders_of(paired.owned, draft.changes)
        draft.books = partial(app_books, app, observed, holders, draft.changes, self._given, paired.digests)
        if not self._keeps_machines:
            draft.books = _at_hand(draft.books())
        draft.builds = builds_of(app, draft.changes)
        draft.image_variables = image_variables_of(app, draft.changes)
        found_settings = settings_changes(app, holders, leaving_anchors(paired.owned, draft.changes))
        # Settings hold for a pool in all its regions, so a plan of some regions leaves them as they are.
        is_of_pools = not selection.regions
        settings = [change for change in found_settings if is_of_pools and selection.has_pool(change.slot.pool)]
        draft.changes = (*after_settings(draft.changes, settings), *settings)
        return draft

    def _adopted(self, draft: _Draft, app: App, paired: Paired, at: datetime) -> list[Change]:
        """Return the adoptions of machines that hold a slot's name.

        If one is not to be adopted, say why nothing is done.
        """
        pools = {pool.name: pool for pool in app.pools}
        anchors = anchors_of(paired, app.pools) if paired.blocked else {}
        clones = {machine.id for _, machine in paired.clones}
        adopted = []
        for slot, machine in sorted(paired.blocked.items()):
            if not self._selection.has(slot):
                continue
            with_flag = " (--prune-clones does, once it rests)" if machine.id in clones else ""
            held = f"{slot.address}: the name is held by machine {machine.id}, which this stack does not own"
            otherwise = "take its name out of `slots`" if slot.given else "rename the pool"
            if machine.metadata.get(marks.STACK):
                draft.blocked.append(f"{held}; destroy{with_flag} or rename it, or {otherwise}")
            elif not machine.is_observable:
                draft.blocked.append(f"{held}; it is {machine.doubt}")
            elif not self._adopt:
                draft.blocked.append(f"{held}; take it over with --adopt, or rename it, or {otherwise}")
            elif change := adoption(slot, machine, pools[slot.pool], anchors[slot.pool], self._differ, at):
                adopted.append(change)
            else:
                draft.blocked.append(f"{held}; it cannot be taken over: its region or volume is another")
        return adopted

    def _newer(self) -> Revision | None:
        """Return the newer revision that the stack is at, as the first app by name tells."""
        return next((newer for name in sorted(self._drafts) if (newer := self._drafts[name].newer)), None)


def _at_hand(books: AppBooks) -> Callable[[], AppBooks]:
    return lambda: books


def _books(books: Iterable[Callable[[], AppBooks]], given: BookkeepingInput) -> tuple[MetadataWrite, ...]:
    return stack_books((find() for find in books), given)


def plan(
    spec: Spec,
    observed: Observed,
    *,
    selection: Selection = WHOLE,
    allow_destroy: int | None = None,
    revision: Revision | None = None,
    allow_rollback: bool = False,
    adopt: bool = False,
    prune_clones: bool = False,
) -> Plan:
    """Return every change between spec and snapshot; options as for Planner."""
    planner = Planner(
        spec.stack,
        selection=selection,
        allow_destroy=allow_destroy,
        revision=revision,
        allow_rollback=allow_rollback,
        adopt=adopt,
        prune_clones=prune_clones,
        keeps_machines=True,
    )
    for app in spec.apps:
        planner.add(app, observed.apps[app.name], observed.at)
    names = [app.name for app in spec.apps]
    return planner.plan(names, observed_at=observed.at, warnings=(*spec.warnings, *observed.warnings))


def _crash_warnings(changes: Iterable[Change]) -> list[str]:
    """Name the first such machine of each pool, count the others, say what to do."""
    pools: dict[str, list[Change]] = {}
    for change in changes:
        if change.action is Action.WATCH:
            pools.setdefault(change.slot.pool, []).append(change)
    return [_crash_words(pool, watched) for pool, watched in pools.items()]


def _crash_words(pool: str, watched: list[Change]) -> str:
    first, count = watched[0], len(watched) - 1
    others = f" (likewise {count} more of its pool)" if count else ""
    return (
        f"{first.address}: {first.reason}{others}; it is as declared: `reconciler logs {pool}` shows why it ends,"
        " and an apply fails until it stays up"
    )
