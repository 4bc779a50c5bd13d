"""Whether what was planned for a machine still holds, as it is under its lease. Pure."""

from typing import Final

from reconciler.apply.entries import entry
from reconciler.apply.options import Options
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.kind import kind_of
from reconciler.model.machine import Machine
from reconciler.model.plan import Action, Change
from reconciler.model.report import Entry, Status
from reconciler.model.revision import parse_revision
from reconciler.model.spec import PoolKind
from reconciler.planner import live_digest

_OVERTAKEN: Final = frozenset(
    {ApiErrorKind.CONCURRENT_UPDATE, ApiErrorKind.STALE_VERSION, ApiErrorKind.REPLACED, ApiErrorKind.SETTLING}
)
_ON_ONE_MACHINE: Final = frozenset({Action.UPDATE, Action.ADOPT, Action.DESTROY, Action.START})


def unfit(live: Machine, change: Change) -> Entry | None:
    """Why the planned update must not be sent to the machine as it is now."""
    if live.state.is_gone:
        return entry(change, Status.FAILED, "destroyed by someone else since it was planned; plan again")
    return unreachable(live, change)


def unreachable(live: Machine, change: Change) -> Entry | None:
    """Why nothing may be concluded of the machine, and so nothing be written to it."""
    if live.is_observable:
        return None
    return entry(change, Status.FAILED, f"unreachable: it cannot be observed (host {live.host_status.value})")


def is_busy(live: Machine, change: Change) -> bool:
    """Whether a run is in progress that is to be let finish."""
    return kind_of(live, declared=change.kind) is PoolKind.TASK and not live.state.is_resting


def fenced(live: Machine, change: Change, options: Options) -> Entry | None:
    """Why an apply of an older revision must not touch the machine."""
    objection = objection_of_fence(live, options)
    return entry(change, Status.FAILED, objection) if objection else None


def has_moved(live: Machine, change: Change) -> bool:
    """Whether the config is another than the one that was planned for; one run's own passes, and is no such change."""
    if marks.OVERRIDE in live.metadata or change.expected_digest is None:
        return False
    return _digest(live) != change.expected_digest


def was_overtaken(change: Change, error: ApiError) -> bool:
    """Whether the machine is no longer as it was seen under the lease, so that another look decides.

    What a stale version is refused with is not documented but for its status, 409.
    """
    is_unexplained = error.kind in {ApiErrorKind.REFUSED, ApiErrorKind.VOLUME_BUSY} and error.status in {409, 412}
    return error.kind in _OVERTAKEN or (is_unexplained and change.action in _ON_ONE_MACHINE)


def _digest(machine: Machine) -> str:
    return live_digest(machine.config or MachineConfig(document={}))


def objection_of_fence(live: Machine, options: Options) -> str | None:
    """Why an apply of these options must not touch the machine, seen under its lease; None where it may.

    A pool's anchor that was busy at the newer apply tells of it by its mark `want` alone.
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
