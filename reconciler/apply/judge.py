"""Judge whether the plan still holds for a machine under its lease. Pure.

Also say how a change ended.
"""

from typing import Final, NamedTuple

from reconciler.apply.options import Options, Patience
from reconciler.canonical.digest import live_digest
from reconciler.canonical.normalize import canonical
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model import marks
from reconciler.model.change import Action, Change
from reconciler.model.config import MachineConfig
from reconciler.model.kind import kind_of
from reconciler.model.machine import Machine, MachineState
from reconciler.model.report import Entry, Reason, Status
from reconciler.model.revision import parse_revision
from reconciler.model.spec import PoolKind
from reconciler.planner.desired import as_run
from reconciler.planner.diff import Differ

_OVERTAKEN: Final = frozenset(
    {ApiErrorKind.CONCURRENT_UPDATE, ApiErrorKind.STALE_VERSION, ApiErrorKind.REPLACED, ApiErrorKind.SETTLING}
)
ON_ONE_MACHINE: Final = frozenset({Action.UPDATE, Action.ADOPT, Action.DESTROY, Action.START, Action.RELEASE})


class Obstacle(NamedTuple):
    """Why something may not be done; `reason` if the next step depends on it."""

    detail: str
    reason: Reason | None = None

    def about(self, what: str) -> "Obstacle":
        """Return the same, said of something."""
        return self._replace(detail=f"{what}: {self.detail}")


def overtaken(change: Change, why: str) -> Entry:
    """Return the end of a change whose slot someone else has changed.

    It is to be planned again.
    """
    return entry(change, Status.FAILED, why, reason=Reason.OVERTAKEN)


def unfit(live: Machine, change: Change) -> Entry | None:
    """Say why the machine, as it is now, must not be sent what was planned."""
    if live.state.is_gone:
        return overtaken(change, "destroyed by someone else since it was planned")
    return unreachable(live, change)


def taken_name(holder: Machine, change: Change, stack: str, options: Options) -> Entry:
    """Return the end of a creation whose name another machine had first.

    It is done, if that machine is all that it was to make.
    """
    if not marks.is_owned(holder.metadata, stack=stack, name=holder.name):
        if not holder.is_observable and marks.STACK not in holder.metadata:
            return entry(change, Status.FAILED, f"machine {holder.id} has the name, and is {holder.doubt}")
        return entry(change, Status.FAILED, f"the name is taken by machine {holder.id}, which this stack does not own")
    if found := unreachable(holder, change) or fenced(holder, change, options):
        return found
    if not is_as_desired(holder, change) or _was_ended(holder, change):
        return overtaken(change, f"another apply had made machine {holder.id} there, and not as it should be")
    return entry(change, Status.DONE, "another apply had made it", machine=holder)


def _was_ended(machine: Machine, change: Change) -> bool:
    """Return whether a service that should be running was stopped.

    One that was just made is yet to start.
    """
    is_stopped = machine.state in {MachineState.STOPPED, MachineState.SUSPENDED}
    return is_stopped and change.kind is PoolKind.SERVICE and not may_rest(change)


def is_as_desired(live: Machine, change: Change) -> bool:
    """Return whether another apply has made this change, and nobody undid it."""
    is_applied = marks.STACK in live.metadata and live.metadata.get(marks.APPLIED) == change.desired_digest
    is_here = (live.region, live.metadata.get(marks.POOL)) == (change.slot.region, change.slot.pool)
    if change.desired is None or not is_applied or not is_here:
        return False
    if marks.OVERRIDE in live.metadata:
        return True  # what one run has of its own goes back by itself
    config = change.desired.config
    return not Differ().differences(canonical(config), as_run(live, config.image), image=config.image)


def unreachable(live: Machine, change: Change) -> Entry | None:
    """Say why nothing is known of the machine, so that nothing may be written to it."""
    if live.is_observable:
        return None
    return entry(change, Status.FAILED, live.doubt)


def unsettled(live: Machine, change: Change, patience: Patience) -> Entry | None:
    """Say why a machine is left alone that did not settle in time."""
    if not live.state.is_settling:
        return None
    detail = f"still {live.state.value} after {patience.limit_s:g} s; run it again once the machine has settled"
    return entry(change, Status.FAILED, detail)


def is_busy(live: Machine, change: Change) -> bool:
    """Return whether a run is in progress that is to be let finish."""
    return kind_of(live, declared=change.kind) is PoolKind.TASK and not live.state.is_resting


def must_be_told(change: Change) -> bool:
    """Return whether the change was to tell the anchor what its pool should be."""
    is_anchor = change.kind is PoolKind.TASK and change.anchor == change.slot.name
    return is_anchor and change.action in {Action.UPDATE, Action.REPLACE}


def fenced(live: Machine, change: Change, options: Options) -> Entry | None:
    """Say why an apply of an older revision must not touch the machine."""
    objection = objection_of_fence(live, options)
    return entry(change, Status.FAILED, objection, reason=Reason.SUPERSEDED) if objection else None


def no_clone(live: Machine, change: Change, stack: str) -> Entry | None:
    """Say why the machine is not the clone that was planned to go.

    Its marks must be those of the same slot still, under another name, and its config as it was.
    """
    place = live.metadata.get(marks.STACK), live.metadata.get(marks.POOL), live.metadata.get(marks.SLOT)
    if place != (stack, change.slot.pool, change.slot.name) or live.name == change.slot.name:
        return entry(change, Status.FAILED, f"no longer a clone of {change.slot.name}; left alone")
    seen = live.name, live.metadata.get(marks.APPLIED), _digest(live)
    if seen != (change.clone, change.expected.applied, change.expected.digest):
        return entry(change, Status.FAILED, "changed since it was planned; plan again")
    return None


def has_moved(live: Machine, change: Change) -> bool:
    """Return whether the machine is another than the one that was planned for."""
    return live.metadata.get(marks.APPLIED) != change.expected.applied or has_other_config(live, change)


def has_other_owner(live: Machine, change: Change, stack: str) -> Entry | None:
    """Say why a machine is left alone whose owner is not the planned one any more.

    One that is adopted may be nobody's, or this stack's by another apply.
    """
    owner = live.metadata.get(marks.STACK)
    if owner == stack or (owner is None and change.action is Action.ADOPT):
        return None
    if change.action is Action.ADOPT:
        return entry(change, Status.FAILED, f"belongs to stack {owner} by now; left alone")
    return entry(change, Status.FAILED, "no longer carries this stack's marks; left alone")


def moved(live: Machine, change: Change) -> Entry:
    """Return the end of an update whose machine has moved.

    This apply does not undo what someone did by hand.
    """
    if live.metadata.get(marks.APPLIED) != change.expected.applied:
        return overtaken(change, "another apply has changed it since it was planned")
    return entry(change, Status.FAILED, "changed since it was planned; plan again")


def has_other_config(live: Machine, change: Change) -> bool:
    """Return whether someone changed the config since it was planned for.

    A run's override passes, and does not count. On a machine that is adopted that mark says nothing.
    """
    is_overridden = marks.OVERRIDE in live.metadata and change.action is not Action.ADOPT
    if is_overridden or change.expected.digest is None:
        return False
    return _digest(live) != change.expected.digest


def was_overtaken(change: Change, error: ApiError) -> bool:
    """Return whether the machine has changed since it was read under the lease.

    Then another read decides. The refusal of a stale version is documented only by its status, 409.
    """
    is_unexplained = error.kind in {ApiErrorKind.REFUSED, ApiErrorKind.VOLUME_BUSY} and error.status in {409, 412}
    return error.kind in _OVERTAKEN or (is_unexplained and change.action in ON_ONE_MACHINE)


def _digest(machine: Machine) -> str:
    return live_digest(machine.config or MachineConfig(document={}))


def objection_to_marks(live: Machine, stack: str, options: Options) -> Obstacle | None:
    """Say why no mark may be written on the machine under its lease; None if it may."""
    if not live.is_observable:
        return Obstacle(live.doubt)
    if not marks.is_owned(live.metadata, stack=stack, name=live.name):
        return Obstacle("it no longer carries this stack's marks; plan again")
    objection = objection_of_fence(live, options)
    return Obstacle(objection, Reason.SUPERSEDED) if objection else None


def objection_of_fence(live: Machine, options: Options) -> str | None:
    """Say why these options must not touch the leased machine; None if they may.

    If a pool's anchor was busy during a newer apply, only its mark `want` shows that apply.
    """
    ours = options.revision
    if ours is None or options.allow_rollback:
        return None
    told = [live.metadata.get(key, "") for key in (marks.REVISION, marks.HIGHEST)]
    told.append(marks.parse_want(live.metadata.get(marks.WANT, "")).revision or "")
    for applied in map(parse_revision, told):
        if applied is not None and applied.is_newer_than(ours):
            return f"{applied.words}, newer than {ours.words}, was applied to it"
    return None


def entry(
    change: Change,
    status: Status,
    detail: str = "",
    *,
    reason: Reason | None = None,
    machine: Machine | None = None,
) -> Entry:
    """Return the end of this change."""
    machine_id = machine.id if machine else change.machine_id
    return Entry(
        slot=change.slot,
        action=change.action,
        status=status,
        detail=detail,
        reason=reason,
        machine_id=machine_id,
        address=change.address,
    )


def busy(change: Change, live: Machine) -> Entry:
    """Return the end of a change that waits for the run on its machine."""
    what = "it runs" if change.clone and change.kind is PoolKind.SERVICE else "a run is in progress"
    detail = f"{what} (state {live.state.value})"
    return entry(change, Status.DEFERRED, detail, reason=Reason.RUN, machine=live)


def words_of(error: ApiError) -> str:
    """Say what went wrong, and what to do next."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


def must_run(change: Change) -> bool:
    """Return whether the change of a service leaves its machine running.

    One that may rest only has to be seen up once for all.
    """
    if change.kind is not PoolKind.SERVICE:
        return False
    return change.action is Action.CREATE or change.is_first or not may_rest(change)


def may_rest(change: Change) -> bool:
    """Return whether the proxy may stop the machine when it is idle."""
    return change.desired is not None and change.desired.config.may_rest
