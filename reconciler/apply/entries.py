"""Say how one change ended, as an entry of the report."""

from reconciler.errors import ApiError
from reconciler.model.machine import Machine
from reconciler.model.plan import Change
from reconciler.model.report import Entry, Reason, Status


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
    detail = f"a run is in progress (state {live.state.value})"
    return entry(change, Status.DEFERRED, detail, reason=Reason.RUN, machine=live)


def words_of(error: ApiError) -> str:
    """Say what went wrong, and what to do next."""
    return f"{error.message}. {error.hint}" if error.hint else error.message
