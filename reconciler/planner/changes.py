"""Plan one app: each slot of the spec, each orphan and each duplicate. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from msgspec.structs import replace

from reconciler.canonical.digest import DesiredDigest, live_digest
from reconciler.model import marks
from reconciler.model.change import Action, Cause, Change, FieldChange, ReasonCode
from reconciler.model.desired import Expected, Handover
from reconciler.model.kind import kind_of
from reconciler.model.machine import Machine
from reconciler.model.spec import App, Pool, PoolKind, Slot
from reconciler.planner.desired import as_run, counts_of, desired_machine, has_moved
from reconciler.planner.diff import Differ
from reconciler.planner.leader_slot import Successors, anchors_of
from reconciler.planner.pair import Paired
from reconciler.planner.rules import Decision, Situation, crash_of, decide_action, deferral, should_run


def adoption(
    slot: Slot, machine: Machine, pool: Pool, anchor: str | None, differ: Differ, at: datetime
) -> Change | None:
    """Return the change that adopts a machine with the slot's name.

    None if it cannot be made what the slot needs. A machine that is as declared only gets our marks, also while it
    runs; another one is updated too. What is left of marks on it says nothing, as it is nobody's.
    """
    assert machine.config is not None
    digest = DesiredDigest(pool.config)
    situation = Situation(
        pool=pool,
        region=slot.region,
        desired_digest=digest,
        machine=machine,
        at=at,
        fields=differ.differences(digest.canonical, as_run(machine, pool.config.image), image=pool.config.image),
    )
    if decide_action(situation).action is Action.REPLACE:
        return None
    is_marked_only = not situation.fields
    is_started = is_marked_only and should_run(situation)
    how = " as it is" if is_marked_only else ""
    reason = f"taken over{how}: it is not marked by any stack"
    if is_started:
        reason += f"; started: it is {machine.state.value}, and should be running"
    elif is_marked_only:
        reason += "; nothing restarts"
    if machine.is_deployed_by_fly:
        reason += "; `fly deploy` manages this app too, and would change or destroy it"
    change = _change(slot, situation, anchor, Decision(Action.ADOPT, ReasonCode.UNMARKED, reason))
    change = replace(change, expected=replace(change.expected, digest=live_digest(machine.config)))
    return replace(change, deferred=None, is_started=is_started) if is_marked_only else change


def slot_changes(app: App, paired: Paired, differ: Differ, at: datetime) -> Iterator[Change]:
    """Yield what happens to each slot of the spec, as seen `at`.

    There is nothing for a slot whose machine is foreign or cannot be observed.
    """
    anchors = anchors_of(paired, app.pools)
    named = {(slot.pool, slot.region) for slot in (*paired.by_slot, *paired.orphans) if slot.given}
    successors = Successors(paired)
    memories = {one.metadata[marks.POOL]: one.metadata for one in paired.owned if _is_anchor(one)}
    for pool in app.pools:
        memory = memories.get(pool.name, {})
        digest = paired.digests.of(pool.config)
        anchor = anchors[pool.name]
        for slot in sorted(pool.slots, key=lambda slot: (slot.number, slot.region)):
            if slot in paired.blocked or (slot in paired.unreachable and slot not in paired.by_slot):
                continue
            machine = paired.by_slot.get(slot)
            assert machine is None or machine.config is not None
            has_names = (slot.pool, slot.region) in named or slot.region in pool.names
            was_applied = None if machine else _was_applied(slot, memory, has_names=has_names)
            situation = Situation(
                pool=pool,
                region=slot.region,
                desired_digest=digest,
                machine=machine,
                at=at,
                fields=_fields(differ, digest, machine, pool),
                lost=marks.parse_want(memory.get(marks.WANT, "")).digest if was_applied else None,
            )
            change = _change(slot, situation, anchor)
            if was_applied is False:
                change = replace(change, is_new=True)
            change = _with_counts(change, pool, memory, paired)
            yield _keeping(change, pool, paired, successors) if change.action is Action.REPLACE else change


def _with_counts(change: Change, pool: Pool, memory: Mapping[str, str], paired: Paired) -> Change:
    """Let an anchor say of regions that are not planned what was said of them before."""
    if not paired.selection.regions or change.desired is None or change.desired.counts is None:
        return change
    return replace(change, desired=replace(change.desired, counts=_counts(pool, memory, paired)))


def _counts(pool: Pool, memory: Mapping[str, str], paired: Paired) -> str | None:
    if counts_of(pool) is None or not paired.selection.regions:
        return counts_of(pool)
    is_known = any(machine.metadata.get(marks.POOL) == pool.name for machine in paired.owned)
    if is_known and marks.COUNTS not in memory:
        return None  # a count that leaves regions out would say that nothing was there
    before = marks.parse_counts(memory.get(marks.COUNTS, ""))
    return marks.counts_to_text(paired.selection.counts(pool.counts, before)) or None


def _is_anchor(machine: Machine) -> bool:
    return machine.metadata.get(marks.ANCHOR) == machine.name


def not_known_as_lost(change: Change) -> Change:
    """Return the change as it is after an apply that was cut off.

    The anchor tells what that apply was to make: a machine that is not there may never have been made.
    """
    if change.code is not ReasonCode.DESTROYED:
        return change
    return replace(change, lost=None, code=ReasonCode.MISSING, reason="not there")


def _was_applied(slot: Slot, memory: Mapping[str, str], *, has_names: bool) -> bool | None:
    """Return whether the slot had a machine when the pool was last applied.

    None if the anchor does not tell. It knows how many machines there were, not their names by `slots`.
    """
    if marks.COUNTS not in memory:
        return None
    is_counted = slot.number < marks.parse_counts(memory[marks.COUNTS]).get(slot.region, 0)
    return None if is_counted and has_names else is_counted


def _fields(differ: Differ, digest: DesiredDigest, machine: Machine | None, pool: Pool) -> tuple[FieldChange, ...]:
    """Return what differs, less a run's override: that is no drift, and is undone.

    `digest` is that of the pool's config.
    """
    if machine is None or machine.config is None:
        return ()
    metadata = machine.metadata
    is_overridden = marks.OVERRIDE in metadata
    is_applied = digest.is_told_by(metadata.get(marks.APPLIED), live=machine.config)
    if is_overridden and is_applied:
        return ()
    # One that was adopted as it was may have only a tag, where the spec has the digest of what runs.
    live = as_run(machine, pool.config.image) if is_applied else machine.config
    fields = differ.differences(digest.canonical, live, image=pool.config.image)
    if pool.has_resolved_image:
        fields = tuple(_moved(field) for field in fields)
    if is_overridden:
        return tuple(_as_spec(field) for field in fields if field.cause is not Cause.DRIFT)
    return fields


def _as_spec(field: FieldChange) -> FieldChange:
    return replace(field, cause=Cause.SPEC) if field.cause is Cause.BOTH else field


def _moved(field: FieldChange) -> FieldChange:
    """Name the image as the cause if its tag names another digest now.

    Then neither spec nor hand has changed it.
    """
    is_ours = field.path == "image" and field.cause is Cause.SPEC
    return replace(field, cause=Cause.IMAGE) if is_ours and has_moved(field.observed, field.desired) else field


def _change(slot: Slot, situation: Situation, anchor: str | None, decided: Decision | None = None) -> Change:
    action, code, reason = decided or decide_action(situation)
    pool, machine = situation.pool, situation.machine
    is_written = action in {Action.CREATE, Action.UPDATE, Action.REPLACE, Action.ADOPT}
    digest = situation.desired_digest.text
    return Change(
        slot=slot,
        kind=pool.kind,
        action=action,
        reason=reason,
        code=code,
        fields=situation.fields,
        deferred=deferral(pool.kind, action, machine),
        machine_id=machine.id if machine else None,
        machine_state=machine.state if machine else None,
        expected=Expected(
            digest=_expected_digest(machine) if is_written else None,
            applied=situation.applied,
            version=(machine.version or None) if machine and action is not Action.NONE else None,
        ),
        observed=machine.config if machine and action not in {Action.NONE, Action.WATCH} else None,
        desired=desired_machine(pool, slot, anchor=anchor, digest=digest) if is_written else None,
        anchor=anchor,
        lost=situation.lost,
        rollout=pool.rollout,
        is_protected=pool.is_protected,
        has_crashed=action in {Action.START, Action.WATCH} and crash_of(situation) is not None,
    )


def _expected_digest(machine: Machine | None) -> str | None:
    """Return what the config must still be when the change is made.

    A run's override does not count, as it is undone.
    """
    if machine is None or machine.config is None:
        return None
    if override := machine.metadata.get(marks.OVERRIDE):
        return marks.parse_override(override)[2]
    return live_digest(machine.config)


def orphan_changes(app: App, paired: Paired) -> Iterator[Change]:
    """Yield the removal of each orphan, the highest numbers first."""
    pools, successors = {pool.name: pool for pool in app.pools}, Successors(paired)
    for slot in sorted(paired.orphans, key=lambda slot: (slot.pool, -slot.number, slot.region, slot.given)):
        pool, machine = pools.get(slot.pool), paired.orphans[slot]
        removal = _keeping(_removal(slot, machine, pool, *_why_orphaned(slot, pool)), pool, paired, successors)
        removal = replace(removal, is_untold=pool is None or counts_of(pool) is None)
        if pool and pool.kind is PoolKind.TASK and machine.metadata.get(marks.ANCHOR) == machine.name:
            handover = Handover(
                successor=successor.name if (successor := successors.of(pool)) else None,
                digest=paired.digests.of(pool.config).text,
                run_policy=pool.run_policy.to_text(),
                counts=_counts(pool, machine.metadata, paired),
                image_digest=pool.resolved_digest,
            )
            removal = replace(removal, handover=handover)
        yield removal


def duplicate_changes(app: App, paired: Paired) -> Iterator[Change]:
    """Yield the removal of each duplicate.

    A race left it, where names are not unique.
    """
    pools, successors = {pool.name: pool for pool in app.pools}, Successors(paired)
    for slot, machine in sorted(paired.duplicates, key=lambda duplicate: (duplicate[0], duplicate[1].id)):
        kept = paired.by_slot.get(slot) or paired.orphans[slot]
        reason = f"a duplicate of machine {kept.id}, which stays"
        pool = pools.get(slot.pool)
        yield _keeping(_removal(slot, machine, pool, ReasonCode.DUPLICATE, reason), pool, paired, successors)


def _removal(slot: Slot, machine: Machine, pool: Pool | None, code: ReasonCode, reason: str) -> Change:
    kind = kind_of(machine, declared=pool.kind if pool else None)
    return Change(
        slot=slot,
        kind=kind,
        action=Action.DESTROY,
        reason=reason,
        code=code,
        deferred=deferral(kind, Action.DESTROY, machine),
        machine_id=machine.id,
        machine_state=machine.state,
        expected=Expected(
            digest=_expected_digest(machine),
            applied=machine.metadata.get(marks.APPLIED),
            version=machine.version or None,
        ),
        observed=machine.config,
        is_protected=pool.is_protected if pool else marks.PROTECT in machine.metadata,
        is_duplicate=code is ReasonCode.DUPLICATE,
    )


def _keeping(change: Change, pool: Pool | None, paired: Paired, successors: Successors) -> Change:
    """Add the slot that keeps how the machine's runs ended.

    An anchor that stays keeps its own.
    """
    if pool is None or change.kind is PoolKind.SERVICE:
        return change
    keeper = successors.of(pool)
    if keeper is None or (keeper.name == change.slot.name and not change.is_duplicate):
        return change
    machine = paired.by_slot.get(keeper)
    return replace(change, keeper=keeper.name, keeper_id=machine.id if machine else None)


def _why_orphaned(slot: Slot, pool: Pool | None) -> tuple[ReasonCode, str]:
    if pool is None:
        return ReasonCode.POOL_REMOVED, f"pool {slot.pool} is no longer in the spec"
    count = pool.counts.get(slot.region)
    if count is None:
        return ReasonCode.REGION_REMOVED, f"region {slot.region} is no longer in the spec"
    if slot.given or slot.number < count:
        return ReasonCode.NAME_REMOVED, "no slot of its pool has its name any more"
    return ReasonCode.COUNT_LOWERED, f"the count there is now {count}"
