"""Find changes of a pool's settings that no config shows. Pure.

Marks hold them: a task's run policy on its anchor, protection on each machine. If a mark says otherwise than the spec,
that is a change of the pool's settings: shown, counted, hashed. A mark that is absent is no difference, and neither is
one that only an update could write, as on machines with checks.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from reconciler.canonical.digest import is_digest_of
from reconciler.canonical.durations import duration_words
from reconciler.model import marks
from reconciler.model.change import Action, Cause, Change, FieldChange, ReasonCode
from reconciler.model.machine import Machine
from reconciler.model.marks import MetadataWrite
from reconciler.model.run_policy import ARGS_PLACE, OVERRIDES_ARGS, RunPolicy, parse_run_policy
from reconciler.model.spec import App, Pool, PoolKind
from reconciler.planner.holders import Holder, by_pool, takes_marks


def settings_changes(app: App, holders: Iterable[Holder], leaving: Iterable[Holder] = ()) -> Iterator[Change]:
    """Yield a change for each pool whose settings differ.

    `holders` are the app's machines after the other changes, `leaving` the anchors that are destroyed and pass on what
    they tell. The change comes before the pool's updates, which carry the same marks. Where marks cannot be written
    beside checks, it comes after the updates.
    """
    members, going = by_pool(holders), by_pool(leaving)
    for pool in app.pools:
        if pool.has_slots and (change := _change(pool, members.get(pool.name, []), going.get(pool.name, []))):
            yield change


def after_settings(changes: Iterable[Change], settings: Iterable[Change]) -> tuple[Change, ...]:
    """Return the changes, with those after the settings that carry the same marks.

    These are the pool's updates, and the destroy of its anchor.
    """
    first = {change.slot.pool: change.address for change in settings if not change.depends_on}
    return tuple(
        replace(change, depends_on=(*change.depends_on, first[change.slot.pool]))
        if change.slot.pool in first and _carries_settings(change)
        else change
        for change in changes
    )


def _carries_settings(change: Change) -> bool:
    return not change.deferred and (change.action is Action.UPDATE or change.handover is not None)


def knows_protection(holder: Holder) -> bool:
    """Return whether the machine tells if its pool was protected.

    A missing `protect` means "not protected" only if `kind` is there: older versions wrote neither.
    """
    metadata = holder.metadata
    return marks.PROTECT in metadata or marks.KIND in metadata


def run_policy_changes(pool: Pool, anchor: Machine) -> list[FieldChange]:
    """Return what the anchor tells otherwise of a task's run policy.

    How many words of a command stay before a run's own args follows the command, if that is not applied yet. A mark
    that cannot be read is a change as a whole: who invokes without the spec has no run policy.
    """
    mark, after = anchor.metadata.get(marks.TERMS), pool.run_policy
    if not mark or pool.kind is not PoolKind.TASK:
        return []
    before = parse_run_policy(mark)
    if before is None:
        desired = {"timeout": _timeout(after), OVERRIDES_ARGS: _args(after), "overrides.env": sorted(after.env)}
        return [_field(path, "not understood", value) for path, value in desired.items()]
    found = []
    if before.timeout_s != after.timeout_s:
        found.append(_field("timeout", _timeout(before), _timeout(after)))
    if before.args_after != after.args_after and (
        _has_args(before) != _has_args(after)
        or is_digest_of(anchor.metadata.get(marks.APPLIED), pool.config, live=anchor.config)
    ):
        found.append(_field(OVERRIDES_ARGS, _args(before), _args(after)))
    if before.env != after.env:
        found.append(_field("overrides.env", sorted(before.env), sorted(after.env)))
    return found


def _change(pool: Pool, holders: Sequence[Holder], leaving: Sequence[Holder]) -> Change | None:
    fields: dict[str, FieldChange] = {}
    writes = []
    for holder in (*holders, *leaving):
        machine = holder.machine
        if machine is None or holder.is_made or not (_is_written_first(holder) or holder.carried_by):
            continue
        due = {}
        metadata = machine.metadata
        is_anchor = metadata.get(marks.ANCHOR) == machine.name
        if is_anchor and (differing := run_policy_changes(pool, machine)):
            fields |= {field.path: field for field in differing}
            due[marks.TERMS] = _policy_with(differing, pool, machine)
        is_protected = marks.PROTECT in metadata
        if holder not in leaving and knows_protection(holder) and is_protected != pool.is_protected:
            fields["protect"] = _field("protect", is_protected, pool.is_protected)
            due[marks.PROTECT] = "yes" if pool.is_protected else ""
        if due:
            writes.append((holder, holder.write(due)))
    return _settings(pool, fields, writes) if writes else None


def _settings(pool: Pool, fields: dict[str, FieldChange], writes: list[tuple[Holder, MetadataWrite]]) -> Change:
    assert pool.anchor is not None, "a pool without slots has no settings"
    return Change(
        slot=pool.anchor,
        kind=pool.kind,
        action=Action.SETTINGS,
        reason=f"differs from what was applied: {', '.join(fields)}",
        code=ReasonCode.SETTINGS,
        fields=tuple(fields.values()),
        writes=tuple(write for _, write in writes),
        depends_on=tuple(
            holder.carried_by for holder, _ in writes if holder.carried_by and not _is_written_first(holder)
        ),
    )


def _is_written_first(holder: Holder) -> bool:
    """Return whether marks may be written on the machine as it is now."""
    seen = holder.machine.config if holder.machine else None
    return holder.takes_marks and (seen is holder.config or takes_marks(seen))


def _policy_with(differing: Iterable[FieldChange], pool: Pool, anchor: Machine) -> str:
    """Return the mark with the run policy, in which nothing but these fields is new.

    How many words of a command stay is not written before the command itself.
    """
    before = parse_run_policy(anchor.metadata[marks.TERMS])
    is_args_new = any(field.path == OVERRIDES_ARGS for field in differing)
    if before is None or is_args_new:
        return pool.run_policy.to_text()
    return replace(pool.run_policy, args_after=before.args_after).to_text()


def _field(path: str, observed: object, desired: object) -> FieldChange:
    return FieldChange(path=path, observed=observed, desired=desired, cause=Cause.SPEC)


def _timeout(policy: RunPolicy) -> str | None:
    return None if policy.timeout_s is None else duration_words(policy.timeout_s)


def _has_args(policy: RunPolicy) -> bool:
    return policy.args_after is not None


def _args(policy: RunPolicy) -> str | bool:
    """Return in words where the args begin; False if a run may not replace them.

    The plan's hash contains these words. A renderer shows `true` if args were not allowed before.
    """
    if policy.args_after is None:
        return False
    return f"{ARGS_PLACE}{policy.args_after} word{'' if policy.args_after == 1 else 's'} of the command"
