"""Runs past their deadline that nobody watches any more: stopped by whoever queues for their machines."""

from collections.abc import Sequence

from reconciler.errors import ApiError, ApiErrorKind, LeaseLostError
from reconciler.invoke.claim_request import Claim
from reconciler.invoke.follow import stop_run
from reconciler.invoke.runs import claim_of, runs_in
from reconciler.model.machine import Machine
from reconciler.model.run import RunState
from reconciler.slots.context import Context


async def end_overdue(context: Context, machines: Sequence[Machine]) -> bool:
    """Stop the runs that are past their recorded deadline, as far as a list shows them; whether there were any.

    For whoever queues for these machines: a run whose watcher died would hold its slot for ever.
    """
    now = context.clock.now()
    ended = False
    for machine in machines:
        run = next(iter(runs_in(machine, machine.events)), None)
        if run is None or run.info.state is not RunState.RUNNING or run.info.deadline is None:
            continue
        if now >= run.info.deadline and await _stop_overdue(context, claim_of(run)):
            context.emit(f"{run.info.id} was past its deadline, and nobody watched it: stopped")
            ended = True
    return ended


async def _stop_overdue(context: Context, claim: Claim) -> bool:
    """As stop_run; False too where someone else has its lease, who may be stopping it."""
    try:
        return await stop_run(context, claim)
    except LeaseLostError:
        return False
    except ApiError as error:
        if error.kind is not ApiErrorKind.LEASE_HELD:
            raise
        return False
