"""What kept a run from starting, where the platform says it: in an error, or in the machine's log."""

from typing import Final

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.machines_api.errors import classify_log, shorten
from reconciler.model.machine import Machine
from reconciler.model.run import NeverStarted
from reconciler.slots.context import Context
from reconciler.slots.log_reader import LogReader

_PATIENCE_S: Final = 3.0
_CAUSES: Final = {
    ApiErrorKind.CAPACITY: NeverStarted.CAPACITY,
    ApiErrorKind.HOST_MAINTENANCE: NeverStarted.HOST,
    ApiErrorKind.IMAGE_NOT_READY: NeverStarted.IMAGE,
    ApiErrorKind.QUOTA: NeverStarted.QUOTA,
}


def cause_of(error: ApiError) -> NeverStarted | None:
    """What the error says kept it from starting; None where it says something else."""
    return _CAUSES.get(error.kind)


async def read_cause(context: Context, machine: Machine) -> tuple[str, NeverStarted] | None:
    """The platform's own words in the log since the machine's newest event, and what they mean; None without any."""
    since_ms = machine.events[0].timestamp_ms if machine.events else 0
    try:
        lines = await LogReader(context, machine, since_ms=since_ms).read_within(_PATIENCE_S)
    except ApiError:
        return None
    for line in reversed(lines):
        kind = classify_log(line.message) if line.provider != "app" else None
        if kind in _CAUSES:
            return shorten(line.message), _CAUSES[kind]
    return None
