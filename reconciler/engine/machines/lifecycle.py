"""Which call does what, in which state, under whose lease: two tables, as data. Windows of time are the engine's.

`evidence` says how well a row is known: measured against the live platform by someone (L), seen in a client or an
emulator (O), documented (D), or inferred (I).
"""

from typing import Final, NamedTuple

from reconciler.engine.errors import Refused

# A machine that reads `stopped` while its last run is not reaped yet; the API never shows this state.
STILL_ACTIVE: Final = "still active"
ANY: Final = "*"


class Row(NamedTuple):
    """In the first of `states` that matches, the call has this effect, or is refused with status and text."""

    call: str
    states: tuple[str, ...]
    effect: str
    status: int = 200
    text: str = ""
    evidence: str = "L"


_GONE: Final = "machine not found"
_CONCURRENT: Final = "aborted: machine update failed due to concurrent update"
_NOT_STARTABLE: Final = "failed_precondition: unable to start machine from current state: '{state}'"
_NOT_DESTROYABLE: Final = (
    "failed_precondition: unable to destroy machine, not currently stopped, suspended, failed or created"
)
_NOT_RESTARTABLE: Final = "failed_precondition: unable to restart machine from current state: '{state}'"
_NOT_SUSPENDABLE: Final = "failed_precondition: unable to suspend machine from current state: '{state}'"
_NOT_SIGNALLED: Final = "failed_precondition: unable to signal machine, not currently started"
_NOT_EXECUTABLE: Final = "failed_precondition: unable to exec on machine, not currently started"
_RUNNING: Final = ("started", "starting", "restarting")

# `kill` is a destroy with force; `cordon` stands for uncordon too.
ROWS: Final = (
    Row("start", ("stopped", "suspended", "failed"), "start"),
    Row("start", ("started", "starting", "restarting"), "nothing", evidence="D"),
    Row("start", (STILL_ACTIVE,), "refuse", 412, "failed_precondition: machine still active, refusing to start"),
    Row("start", ("replacing",), "refuse", 412, "failed_precondition: machine getting replaced, refusing to start"),
    Row("start", ("destroying", "destroyed"), "refuse", 404, _GONE, "I"),
    Row("start", (ANY,), "refuse", 412, _NOT_STARTABLE),
    Row("stop", _RUNNING, "stop"),
    Row("stop", ("suspended",), "discard", evidence="D"),
    Row("stop", ("destroying", "destroyed"), "refuse", 404, _GONE, "I"),
    Row("stop", (ANY,), "nothing", evidence="O"),
    Row("restart", _RUNNING, "restart", evidence="D"),
    Row("restart", ("stopped", "suspended", "failed"), "start", evidence="I"),
    Row("restart", ("destroying", "destroyed"), "refuse", 404, _GONE, "I"),
    Row("restart", (ANY,), "refuse", 412, _NOT_RESTARTABLE, "I"),
    Row("suspend", ("started",), "suspend", evidence="D"),
    Row("suspend", ("suspended",), "nothing", evidence="I"),
    Row("suspend", ("destroying", "destroyed"), "refuse", 404, _GONE, "I"),
    Row("suspend", (ANY,), "refuse", 412, _NOT_SUSPENDABLE, "I"),
    Row("signal", ("started",), "signal", evidence="D"),
    Row("signal", ("destroying", "destroyed"), "refuse", 404, _GONE, "I"),
    Row("signal", (ANY,), "refuse", 412, _NOT_SIGNALLED, "I"),
    Row("cordon", ("destroying", "destroyed"), "refuse", 404, _GONE, "I"),
    Row("cordon", (ANY,), "cordon", evidence="D"),
    Row("exec", ("started",), "run", evidence="O"),
    Row("exec", ("destroying", "destroyed"), "refuse", 404, _GONE, "I"),
    Row("exec", (ANY,), "refuse", 412, _NOT_EXECUTABLE, "I"),
    Row("update", _RUNNING, "reboot"),
    Row("update", ("replacing", "stopping"), "refuse", 409, _CONCURRENT, "O"),
    Row("update", ("destroying", "destroyed"), "refuse", 404, _GONE),
    Row("update", (ANY,), "replace"),
    Row("destroy", ("stopped", STILL_ACTIVE, "suspended", "failed", "created"), "destroy", evidence="O"),
    Row("destroy", ("destroying",), "nothing", evidence="L"),
    Row("destroy", ("destroyed",), "refuse", 404, _GONE, "I"),
    Row("destroy", (ANY,), "refuse", 412, _NOT_DESTROYABLE, "O"),
    Row("kill", ("destroying",), "nothing"),
    Row("kill", ("destroyed",), "refuse", 404, _GONE, "I"),
    Row("kill", (ANY,), "destroy"),
)


class LeaseRow(NamedTuple):
    """What a call meets on a machine whose lease is nobody's, the caller's own or someone else's."""

    calls: tuple[str, ...]
    free: str
    own: str
    foreign: str
    evidence: str = "L"


# pass | refuse (409, at once) | wait (until the lease has ended, then act on whatever is there) | 404
LEASES: Final = (
    LeaseRow(("start", "update", "lease"), "pass", "pass", "refuse"),
    LeaseRow(("restart", "suspend", "cordon"), "pass", "pass", "refuse", "O"),
    LeaseRow(("exec",), "pass", "refuse", "refuse"),
    LeaseRow(("stop", "destroy", "kill"), "pass", "pass", "wait"),
    LeaseRow(("release",), "404", "pass", "refuse", "O"),
    LeaseRow(("signal", "metadata", "create", "get", "list", "wait", "delete_app"), "pass", "pass", "pass", "O"),
)


def row_of(call: str, state: str) -> Row:
    """The table's row for a call on a machine in this state."""
    return next(row for row in ROWS if row.call == call and (state in row.states or ANY in row.states))


def effect_of(call: str, state: str) -> str:
    """The effect of a call on a machine in this state. Raises Refused."""
    row = row_of(call, state)
    if row.effect == "refuse":
        raise Refused(row.status, row.text.format(state=state))
    return row.effect


def lease_rule(call: str, holder: str) -> str:
    """What the call meets: pass, refuse, wait or 404. `holder` is free, own or foreign."""
    row = next(row for row in LEASES if call in row.calls)
    return {"free": row.free, "own": row.own, "foreign": row.foreign}[holder]
